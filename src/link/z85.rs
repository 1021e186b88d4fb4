//! Z85, the text form of CURVE keys (ZeroMQ RFC 32), in safe Rust.
//!
//! libzmq has both directions, but its decoder takes any character for a valid one and
//! says nothing about where a mistake is; a certificate's error must.

use std::fmt;

/// Bytes of a CURVE key.
pub const KEY_BYTES: usize = 32;
/// Characters of a CURVE key in Z85.
pub const KEY_CHARACTERS: usize = 40;

const ALPHABET: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// Why a text is not a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mistake {
    /// Not 40 characters.
    Length(usize),
    /// A character (counted from 1) that Z85 does not have.
    Character(usize, u8),
    /// Five characters (the first counted from 1) that say more than 32 bits hold.
    Overflow(usize),
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mistake::Length(found) => {
                write!(f, "has {found} characters, a Z85 key has {KEY_CHARACTERS}")
            }
            Mistake::Character(position, byte) => write!(
                f,
                "has '{}' as character {position}, which Z85 does not know",
                byte.escape_ascii()
            ),
            Mistake::Overflow(position) => {
                write!(f, "is no Z85 from character {position} on (value too large)")
            }
        }
    }
}

/// The 40 characters of a key.
pub fn encode(key: &[u8; KEY_BYTES]) -> [u8; KEY_CHARACTERS] {
    let mut text = [0; KEY_CHARACTERS];
    for (bytes, characters) in key.chunks_exact(4).zip(text.chunks_exact_mut(5)) {
        let mut value = bytes.iter().fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
        for character in characters.iter_mut().rev() {
            *character = ALPHABET[(value % 85) as usize];
            value /= 85;
        }
    }
    text
}

/// The key that 40 characters spell.
pub fn decode(text: &[u8]) -> Result<[u8; KEY_BYTES], Mistake> {
    if text.len() != KEY_CHARACTERS {
        return Err(Mistake::Length(text.len()));
    }
    let mut key = [0; KEY_BYTES];
    for (group, (characters, bytes)) in
        text.chunks_exact(5).zip(key.chunks_exact_mut(4)).enumerate()
    {
        let mut value = 0_u64;
        for (offset, character) in characters.iter().enumerate() {
            let digit = ALPHABET
                .iter()
                .position(|known| known == character)
                .ok_or(Mistake::Character(group * 5 + offset + 1, *character))?;
            value = value * 85 + digit as u64;
        }
        let value = u32::try_from(value).map_err(|_| Mistake::Overflow(group * 5 + 1))?;
        bytes.copy_from_slice(&value.to_be_bytes());
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_the_rfc() {
        // RFC 32's test case is 8 bytes long: repeated, it fills a key
        let key: [u8; 32] =
            [0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B].repeat(4).try_into().unwrap();
        assert_eq!(&encode(&key), "HelloWorld".repeat(4).as_bytes());
        assert_eq!(decode("HelloWorld".repeat(4).as_bytes()), Ok(key));
    }

    #[test]
    fn agrees_with_libzmq() {
        for seed in 0..=255_u8 {
            let key: [u8; 32] =
                std::array::from_fn(|i| seed.wrapping_mul(31).wrapping_add(i as u8 * 7));
            assert_eq!(zmq::z85_encode(&key).unwrap().as_bytes(), encode(&key));
        }
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(decode(b"short"), Err(Mistake::Length(5)));
        let mut text = encode(&[7; 32]);
        text[17] = b'"';
        assert_eq!(decode(&text), Err(Mistake::Character(18, b'"')));
        let mut text = encode(&[7; 32]);
        text[5..10].fill(b'#');
        assert_eq!(decode(&text), Err(Mistake::Overflow(6)));
    }

    proptest! {
        #[test]
        fn there_and_back(key: [u8; 32]) {
            prop_assert_eq!(decode(&encode(&key)), Ok(key));
        }

        #[test]
        fn any_bytes_are_a_key_or_a_mistake(text: Vec<u8>) {
            let _ = decode(&text);
        }
    }
}
