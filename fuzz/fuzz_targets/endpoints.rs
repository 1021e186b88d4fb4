//! Any text as a list of endpoints: what was read is read again as the same when it was printed,
//! whatever the habit; a mistake is one short line of text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rzmq_link::{Mode, parse_endpoints};

fuzz_target!(|text: &str| {
    for habit in [Mode::Bind, Mode::Connect] {
        match parse_endpoints(text, habit) {
            Ok(endpoints) => {
                let printed: Vec<_> = endpoints.iter().map(ToString::to_string).collect();
                for other in [Mode::Bind, Mode::Connect] {
                    assert_eq!(
                        parse_endpoints(&printed.join(" , "), other).as_ref(),
                        Ok(&endpoints)
                    );
                }
                for endpoint in &endpoints {
                    assert!(!endpoint.address.contains(char::is_control));
                    assert!(!endpoint.needs_ipv6() || endpoint.has_connections());
                }
            }
            Err(mistake) => {
                let told = mistake.to_string();
                assert!(!told.contains(char::is_control), "{told:?}");
                // twice the part that is shown, each character escaped
                assert!(told.len() < 3000, "a mistake of {} bytes", told.len());
            }
        }
    }
});
