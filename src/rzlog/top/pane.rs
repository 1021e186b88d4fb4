//! The lines of one row as they come: a tail within the table, of the lines that are read anyway. Pure.
//!
//! So many lines are kept, and so much of each. While somebody reads, nothing moves: what comes then is
//! only counted.

use std::collections::VecDeque;
use std::time::Duration;

use super::lens::Lens;
use super::place::{Key, Place};
use super::table::Table;

const MOST: usize = 500;
const LONGEST: usize = 4096;

/// A line, or how many are missing at this place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kept {
    Line { at: Duration, place: Place, message: Vec<u8> },
    Missing(u64),
}

pub(super) struct Pane {
    pub(super) key: Key,
    /// As it was when the row was chosen.
    pub(super) lens: Lens,
    kept: VecDeque<Kept>,
    /// Lines behind the last one that is shown.
    pub(super) back: usize,
    /// Since it stands still.
    pub(super) missing: Option<u64>,
}

impl Pane {
    /// Of this row; begins with the newest lines that the table has of it.
    pub(super) fn open(table: &Table, lens: &Lens, key: Key) -> Pane {
        let newest = table.newest(lens, &key);
        let known = newest.iter().rev().take(MOST).rev().map(|line| Kept::Line {
            at: line.at,
            place: line.place.clone(),
            message: line.message.to_vec(),
        });
        Pane { kept: known.collect(), key, lens: lens.clone(), back: 0, missing: None }
    }

    /// A line was counted there. True: it is shown.
    pub(super) fn offer(
        &mut self,
        endpoint: &str,
        place: Place,
        message: &[u8],
        now: Duration,
    ) -> bool {
        if !self.key.fits(&place) || !self.lens.sees(endpoint, &place) {
            return false;
        }
        if let Some(missing) = &mut self.missing {
            *missing += 1;
            return false;
        }
        let message = message[..message.len().min(LONGEST)].to_vec();
        self.keep(Kept::Line { at: now, place, message });
        true
    }

    /// Stands still from now on.
    pub(super) fn hold(&mut self) {
        self.missing.get_or_insert(0);
    }

    /// Goes on with the newest.
    pub(super) fn follow(&mut self) {
        self.back = 0;
        if let Some(missing @ 1..) = self.missing.take() {
            self.keep(Kept::Missing(missing));
        }
    }

    /// Back, or forward again.
    pub(super) fn scroll(&mut self, lines: isize) {
        self.hold();
        let most = self.kept.len().saturating_sub(1);
        self.back = self.back.saturating_add_signed(lines).min(most);
    }

    /// What is shown, the last one first.
    pub(super) fn last_first(&self) -> impl Iterator<Item = &Kept> {
        self.kept.iter().rev().skip(self.back)
    }

    fn keep(&mut self, what: Kept) {
        if self.kept.len() == MOST {
            self.kept.pop_front();
        }
        self.kept.push_back(what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::lens::By;
    use rzlog_client::{Line, Severity};

    const ENDPOINT: &str = "tcp://a:1";

    fn count(table: &mut Table, host: &str, text: &str) -> Place {
        let text = format!("Nov 24 10:00:00 {host} app: {text}");
        let line = Line::parse(None, text.as_bytes());
        table.count(ENDPOINT, &line, Some(Severity::Error), Duration::ZERO).unwrap()
    }

    fn texts(pane: &Pane) -> Vec<String> {
        let text = |kept: &Kept| match kept {
            Kept::Line { message, .. } => String::from_utf8_lossy(message).into_owned(),
            Kept::Missing(lines) => format!("{lines} missing"),
        };
        pane.last_first().map(text).collect()
    }

    #[test]
    fn a_row_goes_on_with_its_own_lines_and_stands_still_when_told() {
        let mut table = Table::new([ENDPOINT].into_iter(), 10);
        let web1 = count(&mut table, "web1", "before");
        let web2 = count(&mut table, "web2", "of another host");
        let lens = Lens { by: By::Host, ..Lens::default() };
        let mut pane = Pane::open(&table, &lens, By::Host.key(&web1));
        assert!(pane.offer(ENDPOINT, web1.clone(), b"first", Duration::ZERO));
        assert!(!pane.offer(ENDPOINT, web2, b"of another host", Duration::ZERO));
        assert_eq!(texts(&pane), ["first", "before"]);
        pane.scroll(1);
        assert!(!pane.offer(ENDPOINT, web1.clone(), b"meanwhile", Duration::ZERO));
        assert_eq!(texts(&pane), ["before"]);
        pane.scroll(100);
        pane.scroll(-1);
        assert_eq!(texts(&pane), ["first", "before"]);
        pane.follow();
        assert!(pane.offer(ENDPOINT, web1.clone(), b"last", Duration::ZERO));
        assert_eq!(texts(&pane), ["last", "1 missing", "first", "before"]);
        let grave = Lens { least: Some(Severity::Critical), ..lens };
        let mut pane = Pane::open(&table, &grave, By::Host.key(&web1));
        assert!(
            !pane.offer(ENDPOINT, web1, b"not grave", Duration::ZERO) && texts(&pane).is_empty()
        );
    }

    #[test]
    fn a_flood_fills_nothing() {
        let mut table = Table::new([ENDPOINT].into_iter(), 10);
        let place = count(&mut table, "web1", "x");
        let mut pane = Pane::open(&table, &Lens::default(), Key::default());
        let long = vec![b'x'; 1 << 20];
        for _ in 0..2 * MOST {
            pane.offer(ENDPOINT, place.clone(), &long, Duration::ZERO);
        }
        assert_eq!(pane.kept.len(), MOST);
        assert!(texts(&pane).iter().all(|text| text.len() == LONGEST));
    }
}
