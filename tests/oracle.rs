//! The judge is judged: what it must find it finds.

use harness::Oracle;
use harness::oracle::{number_of, numbered};

fn lines(numbers: &[usize]) -> Vec<String> {
    numbers.iter().map(|number| format!("<13>host app: {}", numbered(*number))).collect()
}

#[test]
fn reads_back_the_numbers_it_writes() {
    assert_eq!(number_of(&numbered(1499)), Some(1499));
    assert_eq!(number_of("no number here"), None);
}

#[test]
fn finds_nothing_where_nothing_is() {
    Oracle::judge(0..4, &lines(&[0, 1, 2, 3])).once_in_order();
}

#[test]
fn finds_lost_doubled_disordered_and_foreign_lines() {
    let mut received = lines(&[0, 2, 1, 1, 5]);
    received.push("something else".to_owned());
    let found = Oracle::judge(0..5, &received);
    assert_eq!(found.lost, [3, 4]);
    assert_eq!(found.doubled, [(1, 2)]);
    assert_eq!(found.disordered, [(1, 2)]);
    assert_eq!(found.foreign.len(), 2);
    let report = found.to_string();
    assert!(report.contains("lost 2 (3-4)"), "{report}");
}

#[test]
#[should_panic(expected = "expected each line once")]
fn speaks_up() {
    Oracle::judge(0..2, &lines(&[0])).once();
}
