//! The first sectors of a disk → does it hold ext4 (or its ancestors), and how big is that?

/// How many bytes [`size`] wants to see.
pub const HEAD: usize = 2048;

const SUPERBLOCK: usize = 1024;
const MAGIC: u16 = 0xef53;
/// Block numbers have 64 bits.
const INCOMPAT_64BIT: u32 = 0x80;

/// The size in bytes of the file system whose disk begins with `head`; `None` when there is none.
pub fn size(head: &[u8]) -> Option<u64> {
    let word = |at: usize| Some(u32::from_le_bytes(head.get(SUPERBLOCK + at..)?.get(..4)?.try_into().ok()?));
    if word(0x38)? as u16 != MAGIC {
        return None;
    }
    let high = if word(0x60)? & INCOMPAT_64BIT != 0 { word(0x150)? } else { 0 };
    let blocks = u64::from(high) << 32 | u64::from(word(0x4)?);
    // 1 KiB to 64 KiB.
    let shift = word(0x18)?.checked_add(10).filter(|shift| *shift <= 16)?;
    blocks.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(blocks: u64, log_block_size: u32, incompat: u32) -> Vec<u8> {
        let mut head = vec![0; HEAD];
        let mut put = |at: usize, bytes: &[u8]| head[SUPERBLOCK + at..][..bytes.len()].copy_from_slice(bytes);
        put(0x4, &(blocks as u32).to_le_bytes());
        put(0x150, &((blocks >> 32) as u32).to_le_bytes());
        put(0x18, &log_block_size.to_le_bytes());
        put(0x38, &MAGIC.to_le_bytes());
        put(0x60, &incompat.to_le_bytes());
        head
    }

    #[test]
    fn blocks_times_their_size() {
        assert_eq!(size(&head(16384, 2, 0)), Some(64 << 20));
        assert_eq!(size(&head(1 << 33, 2, INCOMPAT_64BIT)), Some(1 << 45));
        assert_eq!(size(&head((7 << 32) | 8192, 0, 0)), Some(8 << 20), "the upper half means nothing without the flag");
    }

    #[test]
    fn anything_else_is_no_file_system() {
        for other in [vec![], vec![0; HEAD], vec![0xff; HEAD], head(1, 40, 0), head(u64::MAX, 6, INCOMPAT_64BIT)] {
            assert_eq!(size(&other), None);
        }
        assert_eq!(size(&head(16384, 2, 0)[..1100]), None, "cut off");
    }
}
