//! Lengths of x86-64 instructions, and the little about their operands that the scan needs.
//!
//! The opcode maps are regular but for their immediates, so the tables are a few matches. They are checked
//! against objdump over all of glibc, which uses every extension up to AVX-512.

/// One decoded instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// In bytes, prefixes included.
    pub length: usize,
    pub map: Map,
    pub opcode: u8,
    /// Its last byte: the immediate where that is one byte.
    pub last: u8,
    /// A memory operand at a negative displacement from %rsp without an index.
    pub below_stack: bool,
}

/// Where an opcode's meaning is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Map {
    /// One byte.
    Primary,
    /// After 0f.
    Escape,
    /// After 0f 38.
    Escape38,
    /// After 0f 3a.
    Escape3a,
    /// VEX, EVEX and XOP: vector instructions, whose map number is in the prefix.
    Vector(u8),
}

/// No instruction is longer.
const LONGEST: usize = 15;

/// What precedes the opcode.
#[derive(Default)]
struct Prefixes {
    operand_size: bool,
    address_size: bool,
    wide: bool,
    /// The extension bits of the base and index registers.
    base: bool,
    index: bool,
}

/// What follows the opcode.
struct Shape {
    modrm: bool,
    immediate: usize,
}

struct Bytes<'a> {
    code: &'a [u8],
    at: usize,
}

impl Bytes<'_> {
    fn next(&mut self) -> Option<u8> {
        let byte = *self.code.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.code.get(self.at).copied()
    }
}

/// Decodes the first instruction of `code`; `None` when it is cut off or no instruction of 64-bit mode.
pub(crate) fn decode(code: &[u8]) -> Option<Instruction> {
    let mut bytes = Bytes { code: &code[..code.len().min(LONGEST)], at: 0 };
    let mut prefixes = legacy_prefixes(&mut bytes)?;
    let (map, opcode) = opcode(&mut bytes, &mut prefixes)?;
    let shape = match map {
        Map::Primary => primary(opcode, &prefixes)?,
        Map::Escape => escape(opcode)?,
        Map::Escape38 => Shape { modrm: true, immediate: 0 },
        Map::Escape3a => Shape { modrm: true, immediate: 1 },
        Map::Vector(map) => vector(map, opcode)?,
    };
    let mut immediate = shape.immediate;
    let mut below_stack = false;
    if shape.modrm {
        let modrm = bytes.next()?;
        below_stack = memory(&mut bytes, modrm, &prefixes, map, opcode)?;
        // `test` alone of its group has an immediate.
        if map == Map::Primary && matches!(opcode, 0xf6 | 0xf7) && modrm >> 3 & 7 > 1 {
            immediate = 0;
        }
    }
    let length = bytes.at + immediate;
    let last = *bytes.code.get(length - 1)?;
    Some(Instruction { length, map, opcode, last, below_stack })
}

/// Legacy prefixes and REX; a REX counts only directly before the opcode.
fn legacy_prefixes(bytes: &mut Bytes) -> Option<Prefixes> {
    let mut prefixes = Prefixes::default();
    loop {
        match bytes.peek()? {
            0x66 => prefixes.operand_size = true,
            0x67 => prefixes.address_size = true,
            0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 | 0xf0 | 0xf2 | 0xf3 => {}
            rex @ 0x40..=0x4f if !is_prefix(*bytes.code.get(bytes.at + 1)?) => {
                bytes.at += 1;
                prefixes.wide = rex & 8 != 0;
                prefixes.index = rex & 2 != 0;
                prefixes.base = rex & 1 != 0;
                return Some(prefixes);
            }
            // A REX before another prefix is ignored.
            0x40..=0x4f => {}
            _ => return Some(prefixes),
        }
        bytes.at += 1;
    }
}

fn is_prefix(byte: u8) -> bool {
    matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x40..=0x4f | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3)
}

/// The opcode and its map; the vector prefixes take the place of REX.
fn opcode(bytes: &mut Bytes, prefixes: &mut Prefixes) -> Option<(Map, u8)> {
    let first = bytes.next()?;
    match first {
        0x0f => match bytes.next()? {
            0x38 => Some((Map::Escape38, bytes.next()?)),
            0x3a => Some((Map::Escape3a, bytes.next()?)),
            opcode => Some((Map::Escape, opcode)),
        },
        0xc5 => {
            bytes.next()?;
            Some((Map::Vector(1), bytes.next()?))
        }
        // XOP shares its byte with `pop`, whose register field is 0.
        0x8f if bytes.peek()? & 0x1f < 8 => Some((Map::Primary, first)),
        0xc4 | 0x62 | 0x8f => {
            let payload = bytes.next()?;
            // The extension bits are inverted.
            prefixes.index = payload & 0x40 == 0;
            prefixes.base = payload & 0x20 == 0;
            bytes.at += if first == 0x62 { 2 } else { 1 };
            let map = payload & if first == 0x62 { 0x07 } else { 0x1f };
            Some((Map::Vector(map), bytes.next()?))
        }
        _ => Some((Map::Primary, first)),
    }
}

/// Consumes SIB and displacement; says whether the operand lies below the stack pointer.
fn memory(bytes: &mut Bytes, modrm: u8, prefixes: &Prefixes, map: Map, opcode: u8) -> Option<bool> {
    let (mode, register) = (modrm >> 6, modrm & 7);
    // Moves of control and debug registers have register operands whatever the mode says.
    if mode == 3 || (map == Map::Escape && matches!(opcode, 0x20..=0x23)) {
        return Some(false);
    }
    let mut on_stack = false;
    let mut base = register;
    if register == 4 {
        let sib = bytes.next()?;
        base = sib & 7;
        let no_index = sib >> 3 & 7 == 4 && !prefixes.index;
        on_stack = base == 4 && !prefixes.base && no_index;
    }
    let size = match mode {
        // Mode 0 with base 5 is a bare displacement, or one from %rip.
        0 => 4 * usize::from(base == 5),
        1 => 1,
        _ => 4,
    };
    let displacement = bytes.code.get(bytes.at..bytes.at + size)?;
    bytes.at += size;
    let negative = displacement.last().is_some_and(|byte| byte & 0x80 != 0);
    Some(on_stack && negative)
}

fn primary(opcode: u8, prefixes: &Prefixes) -> Option<Shape> {
    // An operand-sized immediate has at most four bytes.
    let word = if prefixes.operand_size && !prefixes.wide { 2 } else { 4 };
    let (modrm, immediate) = match opcode {
        0x06 | 0x07 | 0x0e | 0x16 | 0x17 | 0x1e | 0x1f | 0x27 | 0x2f | 0x37 | 0x3f => return None,
        0x60 | 0x61 | 0x82 | 0x9a | 0xce | 0xd4..=0xd6 | 0xea => return None,
        0x00..=0x3f => match opcode & 7 {
            4 => (false, 1),
            5 => (false, word),
            _ => (true, 0),
        },
        0x50..=0x5f | 0x6c..=0x6f | 0x90..=0x9f | 0xa4..=0xa7 | 0xaa..=0xaf => (false, 0),
        0x63 | 0x84..=0x8f | 0xd0..=0xd3 | 0xd8..=0xdf | 0xfe | 0xff => (true, 0),
        0x68 | 0xa9 => (false, word),
        0x69 | 0x81 | 0xc7 => (true, word),
        0x6a | 0x70..=0x7f | 0xa8 | 0xb0..=0xb7 | 0xcd | 0xe0..=0xe7 | 0xeb => (false, 1),
        0x6b | 0x80 | 0x83 | 0xc0 | 0xc1 | 0xc6 => (true, 1),
        0xa0..=0xa3 => (false, if prefixes.address_size { 4 } else { 8 }),
        0xb8..=0xbf => (false, if prefixes.wide { 8 } else { word }),
        0xc2 | 0xca => (false, 2),
        0xc8 => (false, 3),
        // Intel ignores the operand size of near branches.
        0xe8 | 0xe9 => (false, 4),
        0xf6 => (true, 1),
        0xf7 => (true, word),
        0xc3 | 0xc9 | 0xcb | 0xcc | 0xcf | 0xd7 | 0xec..=0xef | 0xf1 | 0xf4 | 0xf5 | 0xf8..=0xfd => (false, 0),
        _ => return None,
    };
    Some(Shape { modrm, immediate })
}

fn escape(opcode: u8) -> Option<Shape> {
    let (modrm, immediate) = match opcode {
        0x04 | 0x0a | 0x0c | 0x24..=0x27 | 0x36 | 0x39 | 0x3b..=0x3f | 0x7a | 0x7b => return None,
        0x05..=0x09 | 0x0b | 0x0e | 0x30..=0x37 | 0x77 | 0xa0..=0xa2 | 0xa8..=0xaa | 0xc8..=0xcf => (false, 0),
        0x80..=0x8f => (false, 4),
        // 0f 0f is 3DNow!, whose opcode comes last.
        0x0f | 0x70..=0x73 | 0xa4 | 0xac | 0xba | 0xc2 | 0xc4..=0xc6 => (true, 1),
        _ => (true, 0),
    };
    Some(Shape { modrm, immediate })
}

fn vector(map: u8, opcode: u8) -> Option<Shape> {
    let immediate = match (map, opcode) {
        // vzeroupper, vzeroall
        (1, 0x77) => return Some(Shape { modrm: false, immediate: 0 }),
        (1, 0x70..=0x73 | 0xc2 | 0xc4..=0xc6) | (3 | 8, _) => 1,
        (1 | 2 | 5 | 6 | 9, _) => 0,
        (10, _) => 4,
        _ => return None,
    };
    Some(Shape { modrm: true, immediate })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        for code in [
            "c3",
            "55",
            "4889e5",
            "66 90",
            "66 2e 0f 1f 84 00 00 00 00 00",
            "f3 0f 1e fa",
            "48 b8 0102030405060708",
            "66 b8 0102",
            "b8 01020304",
            "e8 00000000",
            "66 48 e8 00000000",
            "0f 84 00000000",
            "74 05",
            "c8 100000",
            "f6 c1 01",
            "f7 c1 01000000",
            "66 f7 c1 0100",
            "f7 d8",
            "f6 d8",
            "48 8b 05 00000000",
            "8b 04 25 00000000",
            "48 8b 04 c5 00000000",
            "a0 0000000000000080",
            "67 a1 00000000",
            "c4 e3 7d 39 c1 01",
            "c5 f8 77",
            "62 f3 fd 48 25 c0 ff",
            "66 0f 3a 0f c1 08",
            "0f 38 00 c1",
            "0f 0f c1 9e",
            "8f 00",
            "8f e9 78 c1 c0",
            "f2 48 0f 38 f1 c1",
            "0f 20 c0",
            "66 0f 71 d0 08",
            "69 c0 01000000",
            "66 69 c0 0100",
            "6b c0 05",
            "0f 05",
            "64 48 8b 04 25 28000000",
            "f0 48 0f b1 0e",
            "48 0f ba e0 05",
            "c2 0800",
            "cd 80",
            "9b",
            "d9 e8",
        ] {
            let digits: String = code.split_whitespace().collect();
            let bytes: Vec<u8> =
                (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap()).collect();
            let padded = [&bytes[..], &[0x90; 16]].concat();
            assert_eq!(decode(&padded).map(|i| i.length), Some(bytes.len()), "{code}");
            assert_eq!(decode(&bytes[..bytes.len() - 1]), None, "{code} cut off");
        }
    }

    #[test]
    fn no_instructions() {
        for code in [[0x06, 0x90], [0xce, 0x90], [0x0f, 0x04], [0xd5, 0x0a], [0x9a, 0x00]] {
            assert_eq!(decode(&[&code[..], &[0; 14]].concat()), None, "{code:02x?}");
        }
        assert_eq!(decode(&[0x66; 16]), None);
        assert_eq!(decode(&[]), None);
    }
}
