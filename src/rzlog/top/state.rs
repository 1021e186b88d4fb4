//! Where the user is, and what his keys do. Pure: the terminal's events come in, what the driver has to do
//! comes out.

use std::collections::VecDeque;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::lens::{By, Lens};
use super::pane::Pane;
use super::place::Key;
use super::table::Table;

/// Notices that can be read again.
const NOTICES: usize = 200;
/// A longer text finds nothing.
const LONGEST_FIND: usize = 64;

pub(super) enum Page {
    Table,
    Tail(Pane),
    Notices,
    Help,
}

/// What a key means to the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// The picture is another one.
    Show,
    Nothing,
    /// The terminal may show something else.
    Repaint,
    Quit,
    Interrupt,
    Suspend,
}

pub(super) struct State {
    pub(super) lens: Lens,
    pub(super) page: Page,
    /// The row that was chosen; none: whichever is the first.
    chosen: Option<Key>,
    /// The rows, as they were shown last, and how many of them fit.
    shown: Vec<Key>,
    height: usize,
    /// The first one that was in sight.
    first: usize,
    /// A text is being typed, and this is what was there before.
    pub(super) typing: Option<String>,
    notices: VecDeque<(Duration, String)>,
}

impl State {
    pub(super) fn new(lens: Lens) -> State {
        State {
            lens,
            page: Page::Table,
            chosen: None,
            shown: Vec::new(),
            height: 0,
            first: 0,
            typing: None,
            notices: VecDeque::new(),
        }
    }

    pub(super) fn tell(&mut self, now: Duration, notice: String) {
        if self.notices.len() == NOTICES {
            self.notices.pop_front();
        }
        self.notices.push_back((now, notice));
    }

    /// Oldest first.
    pub(super) fn notices(&self) -> impl DoubleEndedIterator<Item = &(Duration, String)> {
        self.notices.iter()
    }

    /// These rows are shown now, of which so many fit; told is the first in sight and the chosen one.
    pub(super) fn show(&mut self, rows: Vec<Key>, height: usize) -> (usize, usize) {
        (self.shown, self.height) = (rows, height);
        let index = self.index();
        let last_first = self.shown.len().saturating_sub(height);
        let lowest = (index + 1).saturating_sub(height);
        self.first = self.first.clamp(lowest, index.max(lowest)).min(last_first.max(lowest));
        (self.first, index)
    }

    fn index(&self) -> usize {
        let chosen = self.chosen.as_ref();
        chosen.and_then(|key| self.shown.iter().position(|it| it == key)).unwrap_or(0)
    }

    /// Up or down by so many rows.
    fn go(&mut self, rows: isize) {
        let last = self.shown.len().saturating_sub(1);
        let index = self.index().saturating_add_signed(rows).min(last);
        self.chosen = self.shown.get(index).cloned();
    }

    fn page_height(&self) -> isize {
        isize::try_from(self.height).unwrap_or(1).max(1)
    }

    pub(super) fn press(&mut self, key: KeyEvent, table: &Table) -> Act {
        if key.kind == KeyEventKind::Release {
            return Act::Nothing;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Act::Interrupt,
                KeyCode::Char('z') => Act::Suspend,
                KeyCode::Char('l') => Act::Repaint,
                KeyCode::Char('u') if self.typing.is_some() => {
                    self.lens.find.clear();
                    Act::Show
                }
                _ => Act::Nothing,
            };
        }
        if self.typing.is_some() {
            self.type_key(key.code)
        } else if matches!(self.page, Page::Table) {
            self.table_key(key.code, table)
        } else {
            self.page_key(key.code)
        }
    }

    fn type_key(&mut self, key: KeyCode) -> Act {
        match key {
            KeyCode::Char(sign) if self.lens.find.len() < LONGEST_FIND => self.lens.find.push(sign),
            KeyCode::Backspace => {
                self.lens.find.pop();
            }
            KeyCode::Enter => self.typing = None,
            KeyCode::Esc => self.lens.find = self.typing.take().unwrap_or_default(),
            _ => return Act::Nothing,
        }
        Act::Show
    }

    fn table_key(&mut self, key: KeyCode, table: &Table) -> Act {
        match key {
            KeyCode::Char('q') => return Act::Quit,
            KeyCode::Up | KeyCode::Char('k') => self.go(-1),
            KeyCode::Down | KeyCode::Char('j') => self.go(1),
            KeyCode::PageUp => self.go(-self.page_height()),
            KeyCode::PageDown => self.go(self.page_height()),
            KeyCode::Home => self.chosen = None,
            KeyCode::End => self.go(isize::MAX),
            KeyCode::Tab => self.look(self.lens.by.next()),
            KeyCode::Char(digit @ '1'..='5') => {
                let at = digit.to_digit(10).map_or(0, |digit| digit as usize - 1);
                self.look(By::ALL[at.min(By::ALL.len() - 1)]);
            }
            KeyCode::Char('s') => self.lens.graver(),
            KeyCode::Char('o') => self.lens.order = self.lens.order.next(),
            KeyCode::Char('/') => self.typing = Some(self.lens.find.clone()),
            KeyCode::Esc => {
                self.lens.find.clear();
                self.lens.least = None;
            }
            KeyCode::Enter | KeyCode::Right => match self.shown.get(self.index()).cloned() {
                Some(key) => self.page = Page::Tail(Pane::open(table, &self.lens, key)),
                None => return Act::Nothing,
            },
            KeyCode::Char('n') => self.page = Page::Notices,
            KeyCode::Char('?' | 'h') => self.page = Page::Help,
            _ => return Act::Nothing,
        }
        Act::Show
    }

    fn look(&mut self, by: By) {
        if self.lens.by != by {
            (self.lens.by, self.chosen) = (by, None);
        }
    }

    fn page_key(&mut self, key: KeyCode) -> Act {
        let height = self.page_height();
        match (key, &mut self.page) {
            (KeyCode::Char('q') | KeyCode::Esc | KeyCode::Left, page) => *page = Page::Table,
            (KeyCode::Char(' '), Page::Tail(pane)) => match pane.missing {
                Some(_) => pane.follow(),
                None => pane.hold(),
            },
            (KeyCode::Up | KeyCode::Char('k'), Page::Tail(pane)) => pane.scroll(1),
            (KeyCode::Down | KeyCode::Char('j'), Page::Tail(pane)) => pane.scroll(-1),
            (KeyCode::PageUp, Page::Tail(pane)) => pane.scroll(height),
            (KeyCode::PageDown, Page::Tail(pane)) => pane.scroll(-height),
            (KeyCode::Home, Page::Tail(pane)) => pane.scroll(isize::MAX),
            (KeyCode::End, Page::Tail(pane)) => pane.follow(),
            _ => return Act::Nothing,
        }
        Act::Show
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::place::Grade;
    use proptest::prelude::*;
    use rzlog_client::{Line, Severity};

    fn state_and_table() -> (State, Table) {
        let mut table = Table::new(["tcp://a:1"].into_iter(), 100);
        for host in 0..20 {
            let text = format!("<11>Nov 24 10:00:00 web{host} app: text");
            let line = Line::parse(None, text.as_bytes());
            table.count("tcp://a:1", &line, line.severity, Duration::ZERO);
        }
        (State::new(Lens { by: By::Host, ..Lens::default() }), table)
    }

    /// As the picture does it.
    fn show(state: &mut State, table: &Table, height: usize) -> (usize, usize) {
        let mut entries = table.entries(&state.lens, Duration::ZERO);
        state.lens.order.sort(&mut entries);
        let keys = entries.into_iter().map(|entry| entry.key).collect();
        state.show(keys, height)
    }

    fn press(state: &mut State, table: &Table, keys: &[KeyCode]) -> Act {
        let mut act = Act::Nothing;
        for code in keys {
            act = state.press((*code).into(), table);
            show(state, table, 5);
        }
        act
    }

    #[test]
    fn a_row_that_was_chosen_stays_chosen_where_others_come_before_it() {
        let (mut state, mut table) = state_and_table();
        show(&mut state, &table, 5);
        press(&mut state, &table, &[KeyCode::Down, KeyCode::PageDown]);
        assert_eq!(show(&mut state, &table, 5), (2, 6));
        let key = state.shown[6].clone();
        for _ in 0..10 {
            let line = Line::parse(None, b"<11>Nov 24 10:00:00 another app: text");
            table.count("tcp://a:1", &line, None, Duration::ZERO);
        }
        let (_, index) = show(&mut state, &table, 5);
        assert_eq!((index, &state.shown[index]), (7, &key));
        press(&mut state, &table, &[KeyCode::Enter]);
        let Page::Tail(pane) = &state.page else { panic!("a tail") };
        assert_eq!(pane.key, key);
        press(&mut state, &table, &[KeyCode::Esc, KeyCode::Home]);
        assert_eq!(show(&mut state, &table, 5), (0, 0));
        press(&mut state, &table, &[KeyCode::End]);
        assert_eq!(show(&mut state, &table, 5), (16, 20));
    }

    #[test]
    fn what_is_typed_finds_rows_and_escape_takes_it_back() {
        let (mut state, table) = state_and_table();
        let text = |text: &str| text.chars().map(KeyCode::Char).collect::<Vec<_>>();
        press(&mut state, &table, &text("/web1qn"));
        assert_eq!(state.lens.find, "web1qn");
        press(&mut state, &table, &[KeyCode::Backspace, KeyCode::Backspace, KeyCode::Enter]);
        assert_eq!((state.lens.find.as_str(), state.shown.len()), ("web1", 11));
        press(&mut state, &table, &text("/23"));
        assert!(state.shown.is_empty());
        assert_eq!(press(&mut state, &table, &[KeyCode::Esc]), Act::Show);
        assert_eq!(state.lens.find, "web1");
        press(&mut state, &table, &text("sss"));
        assert_eq!((state.lens.least, state.shown.len()), (Some(Severity::Critical), 0));
        assert_eq!(press(&mut state, &table, &[KeyCode::Enter]), Act::Nothing);
        press(&mut state, &table, &[KeyCode::Esc]);
        assert_eq!((state.lens.least, state.shown.len()), (None, 20));
    }

    #[test]
    fn keys_end_it_from_everywhere() {
        let (mut state, table) = state_and_table();
        let control = |sign| KeyEvent::new(KeyCode::Char(sign), KeyModifiers::CONTROL);
        for page in ["", "n", "?", "/", "\r"] {
            for sign in page.chars() {
                let key = if sign == '\r' { KeyCode::Enter } else { KeyCode::Char(sign) };
                press(&mut state, &table, &[key]);
            }
            assert_eq!(state.press(control('c'), &table), Act::Interrupt, "{page}");
            assert_eq!(state.press(control('z'), &table), Act::Suspend, "{page}");
            press(&mut state, &table, &[KeyCode::Esc]);
        }
        assert_eq!(press(&mut state, &table, &[KeyCode::Char('q')]), Act::Quit);
    }

    #[test]
    fn each_way_to_look_has_a_key() {
        let (mut state, table) = state_and_table();
        for (digit, by) in ('1'..).zip(By::ALL) {
            press(&mut state, &table, &[KeyCode::Char(digit)]);
            assert_eq!(state.lens.by, by);
        }
        press(&mut state, &table, &[KeyCode::Char('4')]);
        let error = Grade::of(Some(Severity::Error));
        assert_eq!(state.shown, [Key { grade: Some(error), ..Key::default() }]);
    }

    fn any_key() -> impl Strategy<Value = KeyEvent> {
        let code = prop_oneof![
            any::<char>().prop_map(KeyCode::Char),
            "[qnosjk/? 1-5]".prop_map(|text| KeyCode::Char(text.chars().next().unwrap_or('q'))),
            Just(KeyCode::Enter),
            Just(KeyCode::Esc),
            Just(KeyCode::Up),
            Just(KeyCode::Down),
            Just(KeyCode::PageUp),
            Just(KeyCode::PageDown),
            Just(KeyCode::Home),
            Just(KeyCode::End),
            Just(KeyCode::Tab),
            Just(KeyCode::Backspace),
        ];
        (code, any::<u8>()).prop_map(|(code, bits)| {
            KeyEvent::new(code, KeyModifiers::from_bits_truncate(bits & 3))
        })
    }

    proptest! {
        #[test]
        fn no_keys_lose_the_chosen_row_out_of_sight(
            keys in prop::collection::vec((any_key(), 0..12_usize), 0..60)
        ) {
            let (mut state, table) = state_and_table();
            for (key, height) in keys {
                state.press(key, &table);
                let (first, index) = show(&mut state, &table, height);
                let rows = state.shown.len();
                prop_assert!(index < rows.max(1) && first <= index + 1);
                prop_assert!(height == 0 || (first..first + height).contains(&index));
                prop_assert!(state.lens.find.len() < LONGEST_FIND + 4);
            }
        }
    }
}
