use super::*;
use rzmq_delivery::{SessionId, SpooledFrame};
use std::fs;

fn lines(spool: &mut Spool, texts: &[&str]) {
    let mut block = Vec::new();
    for text in texts {
        record::encode_line([text.as_bytes()].into_iter(), &mut block);
    }
    spool.append(&block, texts.len() as u64).unwrap();
}

fn line(record: Record) -> Vec<Vec<u8>> {
    let Record::Line(texts) = record else { panic!("a line was expected: {record:?}") };
    texts
}

fn drain(spool: &mut Spool) -> Vec<String> {
    let mut all = Vec::new();
    while let Some((record, behind)) = spool.first().unwrap() {
        all.push(String::from_utf8(line(record)[0].clone()).unwrap());
        spool.settled(1, behind);
        spool.note().unwrap();
    }
    spool.settle_or_owe();
    assert!(spool.take_owed().is_none());
    all
}

#[test]
fn lines_come_back_once_in_order_across_openings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.spool");
    let (mut spool, findings) = Spool::open(&path, "a").unwrap();
    assert!(findings.is_empty());
    lines(&mut spool, &["one", "", "three"]);
    let (record, behind) = spool.first().unwrap().unwrap();
    assert_eq!(line(record), [b"one".to_vec()]);
    spool.settled(1, behind);
    spool.note().unwrap();
    assert_eq!(count_lines(&path), None, "in use");
    spool.close().unwrap();

    assert_eq!(count_lines(&path), Some(2));
    let (mut spool, findings) = Spool::open(&path, "a").unwrap();
    assert!(findings.is_empty());
    assert_eq!(spool.lines(), 2);
    lines(&mut spool, &["four"]);
    assert_eq!(drain(&mut spool), ["", "three", "four"]);
    spool.close().unwrap();
    assert!(!path.exists(), "an empty spool is removed");
}

#[test]
fn dynamic_topics_stay_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.spool");
    let (mut spool, _) = Spool::open(&path, "a").unwrap();
    let mut block = Vec::new();
    record::encode_line([&b"line"[..], b"topic", b""].into_iter(), &mut block);
    spool.append(&block, 1).unwrap();
    assert_eq!(line(spool.first().unwrap().unwrap().0), [&b"line"[..], b"topic", b""]);
}

#[test]
fn frames_keep_their_session_and_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.spool");
    let (mut spool, _) = Spool::open(&path, "a").unwrap();
    let frame =
        SpooledFrame { session: SessionId([7; 16]), first: 9, count: 3, bytes: b"frame".to_vec() };
    let mut block = Vec::new();
    record::encode_frame(&frame, 0, &mut block);
    spool.append(&block, 3).unwrap();
    drop(spool);
    let (spool, _) = Spool::open(&path, "a").unwrap();
    assert_eq!(spool.lines(), 3);
    assert_eq!(spool.first().unwrap().unwrap().0, Record::Frame(frame, 0));
}

#[test]
fn lines_of_a_frame_that_are_settled_stay_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.spool");
    let (mut spool, _) = Spool::open(&path, "a").unwrap();
    let frame = |first| SpooledFrame {
        session: SessionId([7; 16]),
        first,
        count: 10,
        bytes: b"frame".to_vec(),
    };
    let mut block = Vec::new();
    record::encode_frame(&frame(0), 2, &mut block);
    record::encode_frame(&frame(10), 0, &mut block);
    spool.append(&block, 18).unwrap();
    spool.sent_part(3);
    spool.sent_part(1);
    spool.note().unwrap();
    assert_eq!(spool.lines(), 14);
    drop(spool); // as a kill -9 leaves it
    assert_eq!(count_lines(&path), Some(14));
    let (mut spool, _) = Spool::open(&path, "a").unwrap();
    assert_eq!(spool.lines(), 14);
    let (record, behind) = spool.first().unwrap().unwrap();
    assert_eq!(record, Record::Frame(frame(0), 6));
    spool.settled(record.lines(), behind);
    spool.note().unwrap();
    assert_eq!(spool.first().unwrap().unwrap().0, Record::Frame(frame(10), 0));
    assert_eq!(spool.lines(), 10);
    drop(spool);
    assert_eq!(count_lines(&path), Some(10));
}

#[test]
fn a_torn_tail_is_cut_off_wherever_it_tore() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.spool");
    let (mut spool, _) = Spool::open(&path, "a").unwrap();
    lines(&mut spool, &["one", "two"]);
    let whole = spool.end;
    lines(&mut spool, &["three"]);
    let end = spool.end;
    drop(spool);
    let bytes = fs::read(&path).unwrap();
    for length in whole + 1..end {
        fs::write(&path, &bytes[..length as usize]).unwrap();
        let (mut spool, findings) = Spool::open(&path, "a").unwrap();
        assert_eq!(findings, [Finding::TornTail(length - whole)]);
        lines(&mut spool, &["new"]);
        assert_eq!(drain(&mut spool), ["one", "two", "new"]);
    }
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    fs::write(&path, flipped).unwrap();
    let (mut spool, findings) = Spool::open(&path, "a").unwrap();
    assert_eq!(findings, [Finding::TornTail(end - whole)]);
    assert_eq!(drain(&mut spool), ["one", "two"]);
}

#[test]
fn lines_before_a_torn_tail_that_cannot_be_kept_elsewhere_are_sent() {
    let folder = tempfile::tempdir().unwrap();
    // So long that no file beside it can have a name.
    let path = folder.path().join("a".repeat(250));
    let (mut spool, _) = Spool::open(&path, "a").unwrap();
    lines(&mut spool, &["one", "two"]);
    drop(spool);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"torn");
    fs::write(&path, &bytes).unwrap();
    for left in [2, 0] {
        let (mut spool, findings) = Spool::open(&path, "a").unwrap();
        assert!(matches!(findings[..], [Finding::StuckTail(4, _)]), "{findings:?}");
        assert_eq!(spool.lines(), left);
        spool.append(b"", 0).unwrap_err();
        assert_eq!(drain(&mut spool).len() as u64, left);
        spool.close().unwrap();
        assert!(fs::read(&path).unwrap().ends_with(b"torn"), "never thrown away");
    }
    let short = folder.path().join("a");
    fs::rename(&path, &short).unwrap();
    let (mut spool, findings) = Spool::open(&short, "a").unwrap();
    assert_eq!(findings, [Finding::TornTail(4)]);
    lines(&mut spool, &["new"]);
    assert_eq!(drain(&mut spool), ["new"]);
}

#[test]
fn a_foreign_file_is_set_aside_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.spool");
    for foreign in [&b"hello"[..], &[0; 200], &[0xff; 64]] {
        fs::write(&path, foreign).unwrap();
        let (spool, findings) = Spool::open(&path, "a").unwrap();
        let [Finding::Foreign(aside)] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(fs::read(aside).unwrap(), foreign);
        fs::remove_file(aside).unwrap();
        spool.close().unwrap();
    }
    let (mut other, _) = Spool::open(&path, "b").unwrap();
    lines(&mut other, &["of another"]);
    drop(other);
    let (_, findings) = Spool::open(&path, "a").unwrap();
    assert!(matches!(findings[..], [Finding::Foreign(_)]), "another action's: {findings:?}");
}

/// What is left in the file after a kill that came when so many of ten lines were sent.
fn left_after_kill(sent: usize, bytes: u64, held: Held) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.spool");
    let (mut spool, _) = Spool::open(&path, "a").unwrap();
    lines(&mut spool, &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    for _ in 0..sent {
        let (_, behind) = spool.first().unwrap().unwrap();
        spool.sent_or_owe(1, bytes, behind, held);
        assert!(spool.take_owed().is_none());
    }
    assert_eq!(spool.lines(), 10 - sent as u64);
    drop(spool);
    let (mut spool, _) = Spool::open(&path, "a").unwrap();
    drain(&mut spool)
}

#[test]
fn what_libzmq_may_hold_comes_again_after_a_kill() {
    let held = |messages, bytes| Held::Last { messages, bytes };
    // of 8 sent: the last two, then one that is being written
    assert_eq!(left_after_kill(8, 100, held(2, 100)), ["5", "6", "7", "8", "9"]);
    assert_eq!(left_after_kill(8, 100, held(2, 1)), ["5", "6", "7", "8", "9"]);
    assert_eq!(left_after_kill(8, 100, held(2, 101)), ["4", "5", "6", "7", "8", "9"]);
    assert_eq!(left_after_kill(8, 100, held(0, 0)), ["8", "9"]);
    assert_eq!(left_after_kill(8, 10, held(2, 1000)).len(), 10);
    assert_eq!(left_after_kill(9, 100, Held::Any).len(), 10);
    assert_eq!(left_after_kill(10, 100, Held::Any).len(), 10);
}

#[test]
fn what_cannot_be_noted_is_counted_once_and_nothing_is_removed() {
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
    // Its seal makes every write fail, and a folder that is none keeps it from being removed.
    let file = memfd_create("spool", MemfdFlags::ALLOW_SEALING).unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    let (mut spool, _) = Spool::open(Path::new(&path), "a").unwrap();
    lines(&mut spool, &["one", "two", "three"]);
    fcntl_add_seals(&file, SealFlags::WRITE).unwrap();
    let (_, behind) = spool.first().unwrap().unwrap();
    spool.settled(1, behind);
    for _ in 0..5 {
        spool.note().unwrap_err();
        assert_eq!(spool.lines(), 2);
    }
    assert_eq!(line(spool.first().unwrap().unwrap().0), [b"two".to_vec()]);
    spool.close().unwrap_err();
    assert_eq!(count_lines(Path::new(&path)), Some(3), "a later process sends all again");
}

#[test]
fn two_owners_never_share_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.spool");
    let (_first, _) = Spool::open(&path, "a").unwrap();
    assert!(matches!(Spool::open(&path, "a"), Err(StateFileError::Locked { .. })));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.spool");
        let (spool, _) = Spool::open(&path, "a").unwrap();
        drop(spool);
        let mut content = fs::read(&path).unwrap();
        content.extend_from_slice(&bytes);
        fs::write(&path, &content).unwrap();
        let (mut spool, _) = Spool::open(&path, "a").unwrap();
        drain(&mut spool);
        fs::write(&path, &bytes).unwrap();
        let _ = count_lines(&path);
    }
}
