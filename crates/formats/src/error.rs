//! The one error of the crate: a sentence fragment that says what was not understood.

use std::fmt;

/// What was wrong with the input: lower case, no full stop, ready to be wrapped in context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Error(message.into())
    }

    /// The same error with what it happened to in front: `what: message`.
    pub fn of(self, what: impl fmt::Display) -> Self {
        Error(format!("{what}: {}", self.0))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<object::read::Error> for Error {
    fn from(error: object::read::Error) -> Self {
        // `object` begins its messages with a capital; ours are fragments.
        let text = error.to_string();
        let mut letters = text.chars();
        Error(letters.next().map_or(String::new(), |c| c.to_lowercase().chain(letters).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::read::elf::FileHeader;

    #[test]
    fn context_goes_in_front() {
        assert_eq!(Error::new("no symbol table").of("a.o").to_string(), "a.o: no symbol table");
    }

    #[test]
    fn messages_of_object_become_fragments() {
        let header = object::elf::FileHeader64::<object::LittleEndian>::parse(&[0u8; 64][..]);
        let error = Error::from(header.unwrap_err());
        assert_eq!(error.to_string(), "unsupported ELF header");
    }
}
