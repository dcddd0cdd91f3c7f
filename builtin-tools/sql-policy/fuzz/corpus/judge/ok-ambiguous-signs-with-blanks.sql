SELECT 1 <- 2, 3 >= - 1, 2 * - 1, 4 /-- half
2