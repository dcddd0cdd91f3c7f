//! Whole records or none, in their order, through crashes, turns and reuse of files.

use std::{fs, path::PathBuf};

use super::super::{
    reader::Entry,
    record::Head,
    segment::room_for,
    spool::{Place, Spool},
};
use super::*;

/// A record as the reader takes it, with a number in it and some weight.
fn record(number: u64, weight: usize) -> Vec<u8> {
    let event = EventId::compose(1, number, 1);
    let head = Head { stage: Stage::Closed, event, tenant: None, at_ms: 1, action: Action::List };
    [&head.bytes()[..], format!("{number}:{}", "x".repeat(weight)).as_bytes()].concat()
}

fn append(spool: &Spool, number: u64, weight: usize) -> Result<(), SpoolFull> {
    let record = record(number, weight);
    let (a, b) = record.split_at(record.len() / 2);
    spool.append(&[a, b])
}

fn numbers(spool: &Spool) -> Vec<u64> {
    let mut reader = Reader::new(spool);
    std::iter::from_fn(|| reader.next(spool)).map(|(_, entry)| number(&entry)).collect()
}

fn number(entry: &Entry) -> u64 {
    let Entry::Closed(row) = entry else { panic!("only closed records are written here") };
    row.json.split_once(':').unwrap().0.parse().unwrap()
}

fn drain(spool: &Spool, reader: &mut Reader) -> Vec<u64> {
    let drained = std::iter::from_fn(|| reader.next(spool)).map(|(_, entry)| number(&entry)).collect();
    spool.drained_to(reader.place());
    drained
}

/// The files as a killed process would have left them at this moment.
fn killed(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in segment_files(dir) {
        fs::copy(&file, copy.path().join(file.file_name().unwrap())).unwrap();
    }
    copy
}

fn segment_files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    files.sort();
    files
}

#[test]
fn a_killed_process_leaves_all_that_it_appended() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), SpoolOptions { segments_max: 20, ..SMALL }).unwrap();
    for count in 0..2000u64 {
        append(&spool, count, (count % 700) as usize).unwrap();
        if count % 400 == 399 {
            let copy = killed(dir.path());
            let recovered = Spool::open(copy.path(), SMALL).unwrap();
            assert_eq!(numbers(&recovered), (0..=count).collect::<Vec<_>>());
            assert_eq!(recovered.appended(), count + 1);
        }
    }
    assert!(segment_files(dir.path()).len() > 3, "the records did not fill several files");
}

#[test]
fn what_is_appended_after_a_crash_comes_after_what_was_before() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let spool = Spool::open(dir.path(), SMALL).unwrap();
        append(&spool, round, 10).unwrap();
        assert_eq!(numbers(&spool), (0..=round).collect::<Vec<_>>());
    }
}

#[test]
fn a_torn_record_and_all_behind_it_are_no_records() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), SMALL).unwrap();
    (0..3).for_each(|number| append(&spool, number, 100).unwrap());
    let last = spool.segment_from(0).unwrap().end() - room_for(record(2, 100).len());
    for torn in [last + 4, last + 8, last + 60, last] {
        let copy = killed(dir.path());
        let file = segment_files(copy.path()).remove(0);
        let mut bytes = fs::read(&file).unwrap();
        bytes[torn] ^= 0x40;
        fs::write(&file, bytes).unwrap();
        let recovered = Spool::open(copy.path(), SMALL).unwrap();
        assert_eq!(numbers(&recovered), [0, 1], "byte {torn}");
    }
}

#[test]
fn records_of_an_earlier_use_of_a_file_never_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), SpoolOptions { segments_max: 4, ..SMALL }).unwrap();
    let mut reader = Reader::new(&spool);
    let mut next = 0;
    for round in 0..50u64 {
        // Each round writes more than one file holds, so files are used again, at other offsets each time.
        for _ in 0..100 {
            append(&spool, next, 900 + (round * 37 % 300) as usize).unwrap();
            next += 1;
        }
        let copy = killed(dir.path());
        let waiting = numbers(&Spool::open(copy.path(), SMALL).unwrap());
        assert_eq!(waiting, drain(&spool, &mut reader), "round {round}");
        assert_eq!(waiting.len(), 100);
    }
    assert!(segment_files(dir.path()).len() <= 4);
}

#[test]
fn what_was_drained_is_not_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), SMALL).unwrap();
    (0..10).for_each(|number| append(&spool, number, 50).unwrap());
    let mut reader = Reader::new(&spool);
    (0..4).for_each(|_| drop(reader.next(&spool)));
    spool.drained_to(reader.place());
    drop(spool);

    let spool = Spool::open(dir.path(), SMALL).unwrap();
    assert_eq!(spool.appended(), 6);
    let mut reader = Reader::new(&spool);
    assert_eq!(drain(&spool, &mut reader), [4, 5, 6, 7, 8, 9]);
    drop(spool);

    let spool = Spool::open(dir.path(), SMALL).unwrap();
    assert_eq!((numbers(&spool).len(), spool.appended()), (0, 0));
    assert_eq!(segment_files(dir.path()).len(), 1, "drained files were left behind");
}

#[test]
fn a_full_spool_says_so_and_takes_records_again_once_drained() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), SpoolOptions { segments_max: 3, ..SMALL }).unwrap();
    let mut reader = Reader::new(&spool);
    let mut next = 0;
    for _ in 0..5 {
        let first = next;
        while append(&spool, next, 500).is_ok() {
            next += 1;
            assert!(next - first < 10_000, "the spool has no bound");
        }
        assert!(!spool.has_room());
        assert!(next - first > 300, "only {} records found room", next - first);
        assert_eq!(append(&spool, next, 500), Err(SpoolFull));
        assert_eq!(drain(&spool, &mut reader), (first..next).collect::<Vec<_>>());
        assert!(spool.has_room());
    }
    assert!(segment_files(dir.path()).len() <= 3);
}

#[test]
fn a_spool_whose_disk_fails_is_full_and_grows_once_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), SpoolOptions { segments_max: 9, ..SMALL }).unwrap();
    fs::remove_dir_all(dir.path()).unwrap();
    let mut count = 0;
    while append(&spool, count, 1000).is_ok() {
        count += 1;
        assert!(count < 200, "more was taken than one file holds");
    }
    assert!(!spool.has_room());
    fs::create_dir(dir.path()).unwrap();
    let since = std::time::Instant::now();
    while append(&spool, count, 1000).is_err() {
        assert!(since.elapsed() < Duration::from_secs(20), "it never tried again");
        std::thread::yield_now();
    }
    assert_eq!(numbers(&spool), (0..=count).collect::<Vec<_>>());
}

#[test]
fn what_was_promised_finds_room_in_a_full_spool() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), SMALL).unwrap();
    let long = record(0, 3000);
    let mut promised = 0;
    while spool.append_promising(&[&record(promised, 100)], long.len()).is_ok() {
        promised += 1;
    }
    assert!(promised > 20);
    while append(&spool, 9999, 100).is_ok() {}
    for number in 0..promised {
        assert_eq!(spool.append_promised(&[&record(number, 3000)], long.len()), Ok(()), "{number} of {promised}");
    }
}

#[test]
fn a_record_that_no_file_could_hold_is_refused_and_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), SMALL).unwrap();
    for _ in 0..10 {
        assert_eq!(append(&spool, 1, 20_000), Err(SpoolFull));
    }
    append(&spool, 2, 15_000).unwrap();
    assert_eq!(numbers(&spool), [2]);
}

#[test]
fn a_reader_keeps_up_with_writers_and_misses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), SpoolOptions { segments_max: 4, ..SMALL }).unwrap();
    let mut reader = Reader::new(&spool);
    let mut seen: Vec<Vec<u64>> = vec![Vec::new(); 4];
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let spool = &spool;
            scope.spawn(move || {
                for count in 0..5000u64 {
                    while append(spool, thread * 10_000 + count, (count % 300) as usize).is_err() {
                        std::thread::yield_now();
                    }
                }
            });
        }
        let mut total = 0;
        while total < 20_000 {
            spool.prepare();
            for number in drain(&spool, &mut reader) {
                seen[(number / 10_000) as usize].push(number % 10_000);
                total += 1;
            }
        }
    });
    for of_one in seen {
        assert_eq!(of_one, (0..5000).collect::<Vec<_>>());
    }
    assert_eq!(numbers(&spool).len(), 0);
}

#[test]
fn a_place_that_is_no_record_reads_as_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), SMALL).unwrap();
    append(&spool, 1, 100).unwrap();
    let segment = spool.segment_from(0).unwrap();
    for at in (0..segment.end() + 100).filter(|at| *at != 32) {
        let _ = segment.record(at);
    }
    spool.drained_to(Place { seq: segment.seq, at: segment.end() });
    assert!(spool.sleep_at(Place { seq: segment.seq, at: segment.end() }));
    assert!(!spool.sleep_at(Place { seq: segment.seq, at: 32 }));
}

#[test]
fn two_gateways_cannot_share_a_spool() {
    let dir = tempfile::tempdir().unwrap();
    let first = Spool::open(dir.path(), SMALL).unwrap();
    let error = Spool::open(dir.path(), SMALL).unwrap_err();
    assert!(matches!(error, SpoolError::Taken(_)));
    assert!(error.to_string().contains("in use by another gateway"), "{error}");
    drop(first);
    Spool::open(dir.path(), SMALL).unwrap();
}

#[test]
fn a_file_that_no_spool_wrote_is_set_aside_unread() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("0000000004.seg"), vec![b'x'; 4096]).unwrap();
    fs::write(dir.path().join("0000000005.seg"), b"").unwrap();
    fs::write(dir.path().join("0000000006.seg"), vec![0; 4096]).unwrap();
    fs::write(dir.path().join("readme.txt"), b"hello").unwrap();
    let spool = Spool::open(dir.path(), SMALL).unwrap();
    append(&spool, 1, 10).unwrap();
    assert_eq!(numbers(&spool), [1]);
    assert_eq!(fs::read(dir.path().join("0000000004.unreadable")).unwrap().len(), 4096);
    assert!(dir.path().join("readme.txt").exists());
    assert_eq!(segment_files(dir.path()).len(), 1);
}

#[test]
fn bounds_and_folders_that_cannot_be_are_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    for options in [
        SpoolOptions { segment_bytes: 100, ..SMALL },
        SpoolOptions { segment_bytes: SEGMENT_BYTES_MAX + 1, ..SMALL },
        SpoolOptions { segments_max: 1, ..SMALL },
    ] {
        assert!(matches!(Spool::open(dir.path(), options), Err(SpoolError::Options { .. })));
    }
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = Spool::open(&file.join("spool"), SMALL).unwrap_err();
    assert!(error.to_string().contains("writable"), "{error}");
}

#[test]
fn records_of_a_larger_spool_are_drained_by_a_smaller_one() {
    let dir = tempfile::tempdir().unwrap();
    let large = Spool::open(dir.path(), SpoolOptions { segment_bytes: 1 << 20, segments_max: 8 }).unwrap();
    (0..5000).for_each(|number| append(&large, number, 400).unwrap());
    drop(large);
    let small = Spool::open(dir.path(), SMALL).unwrap();
    let mut reader = Reader::new(&small);
    assert_eq!(drain(&small, &mut reader).len(), 5000);
    (0..500).for_each(|number| {
        append(&small, number, 900).unwrap();
        drain(&small, &mut reader);
    });
    assert!(segment_files(dir.path()).len() <= 2);
}
