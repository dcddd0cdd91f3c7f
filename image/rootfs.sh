#!/bin/sh
# Assembles the file system of the image: the program, the libraries that it is linked to, the certificates of the public
# authorities, and the few files that a C library asks for. No shell, no package manager, nothing else.
# The Dockerfile runs it in its build stage; tests/e2e/image.rs runs it and then the program in what it made.
set -eu

if [ $# -ne 2 ]; then
    echo "usage: image/rootfs.sh TARGET_BINARY DEST" >&2
    exit 64
fi
binary=$1
dest=$2
repository=$(cd "$(dirname "$0")/.." && pwd)
certificates=/etc/ssl/certs/ca-certificates.crt

fail() {
    echo "image/rootfs.sh: $1" >&2
    exit 1
}

[ -f "$binary" ] || fail "$binary is not there: build it first"
[ -s "$certificates" ] || fail "$certificates is not there: install ca-certificates"
if [ -d "$dest" ] && [ -n "$(ls -A "$dest")" ]; then
    fail "$dest is not empty: what is in it would be in the image"
fi

# Whatever the umask is here, the image's user has to read what is in it.
umask 022

mkdir -p "$dest"
for folder in dev proc sys etc/patchbay etc/ssl/certs usr/local/bin usr/share/doc/patchbay; do
    mkdir -p "$dest/$folder"
done
install -d -m 1777 "$dest/tmp"
install -d -m 0700 "$dest/var/lib/patchbay"

# Names of functions stay, for the traces of a panic; lines and variables would be four fifths of the image.
strip --strip-debug -o "$dest/usr/local/bin/patchbay" "$binary" || fail "strip does not read $binary"
chmod 755 "$dest/usr/local/bin/patchbay"

# The loader tells what it would load, and where it is found: there it is put, as a file and not as a link.
libraries=$(ldd "$binary") || fail "ldd does not read $binary"
case $libraries in
    *"not found"*) fail "a library is not there: $libraries" ;;
esac
echo "$libraries" | sed -n 's/.*[[:space:]]\(\/[^[:space:]]*\) (0x.*/\1/p' | while read -r library; do
    install -D -m 755 "$library" "$dest$library"
done

install -m 644 "$certificates" "$dest$certificates"
install -m 644 "$repository/LICENSE" "$dest/usr/share/doc/patchbay/LICENSE"
for package in libc6 libgcc-s1 ca-certificates; do
    if [ -f "/usr/share/doc/$package/copyright" ]; then
        install -D -m 644 "/usr/share/doc/$package/copyright" "$dest/usr/share/doc/$package/copyright"
    fi
done

# The engine lays its own hosts, resolv.conf and hostname over these, if it has any.
printf '127.0.0.1 localhost\n::1 localhost\n' >"$dest/etc/hosts"
printf 'hosts: files dns\n' >"$dest/etc/nsswitch.conf"
printf 'root:x:0:0::/:/nologin\npatchbay:x:10001:10001::/var/lib/patchbay:/nologin\n' >"$dest/etc/passwd"
printf 'root:x:0:\npatchbay:x:10001:\n' >"$dest/etc/group"
