//! A kernel for boot loaders → where its compressed ELF file lies, and by what it was compressed.

use std::ops::Range;

use crate::error::{Error, Result};

/// The kernel inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Where it lies in the file, without the size that the build appends to it.
    pub range: Range<usize>,
    /// The program that unpacks it when it is called with `-d`.
    pub packer: &'static str,
}

/// First bytes, and the program that wrote them.
const PACKERS: [(&[u8], &str); 5] = [
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"BZh", "bzip2"),
];

/// Finds the kernel in a `bzImage`, as the boot protocol describes it from version 2.08 on.
pub fn payload(bytes: &[u8]) -> Result<Payload> {
    let number = |at: usize| {
        let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
        word.map(|word| u32::from_le_bytes(word) as usize)
    };
    let header = || Error::new("a kernel for boot loaders is wanted, with the header of protocol 2.08 or later");
    if bytes.get(0x202..0x206) != Some(b"HdrS") || number(0x206).is_none_or(|word| word & 0xffff < 0x208) {
        return Err(header());
    }
    // A boot sector and so many sectors of 16-bit code; zero means four.
    let sectors = bytes.get(0x1f1).map_or(0, |sectors| usize::from(*sectors));
    let code = (if sectors == 0 { 4 } else { sectors } + 1) * 512;
    let (Some(offset), Some(length)) = (number(0x248), number(0x24c)) else { return Err(header()) };
    let range = code + offset..code + offset + length;
    let packed =
        bytes.get(range.clone()).ok_or_else(|| Error::new("the kernel ends before its compressed part does"))?;
    let packer = PACKERS.iter().find(|(magic, _)| packed.starts_with(magic)).map(|(_, packer)| *packer);
    let packer = packer.ok_or_else(|| Error::new("the kernel is compressed in a way that is not known here"))?;
    // gzip's own format ends with the size.
    let appended = if packer == "gzip" { 0 } else { 4 };
    Ok(Payload { range: range.start..range.end.saturating_sub(appended).max(range.start), packer })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(packed: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 1024 + 16];
        bytes[0x1f1] = 1;
        bytes[0x202..0x208].copy_from_slice(b"HdrS\x0f\x02");
        bytes[0x248] = 16;
        bytes[0x24c] = packed.len() as u8;
        bytes.extend(packed);
        bytes
    }

    #[test]
    fn the_compressed_kernel_is_found() {
        let zstd = payload(&image(b"\x28\xb5\x2f\xfd12345678size")).unwrap();
        assert_eq!((zstd.range, zstd.packer), (1040..1052, "zstd"));
        let gzip = payload(&image(b"\x1f\x8b123456")).unwrap();
        assert_eq!((gzip.range, gzip.packer), (1040..1048, "gzip"));
    }

    #[test]
    fn what_is_not_such_a_kernel_is_an_error() {
        for bytes in [&b""[..], b"\x7fELF", &image(b"what is this")[..], &image(b"\x1f\x8b12")[..1041]] {
            assert!(payload(bytes).is_err());
        }
        let mut old = image(b"\x1f\x8b123456");
        old[0x206] = 7;
        assert!(payload(&old).is_err());
    }
}
