//! Packet buffers and the pool they come from.

use std::ffi::CString;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use dpdk_sys::{rte_mbuf, rte_mempool};

use super::eal::Eal;
use super::error::{DpdkError, Errno};
use super::prefetch::prefetch;
use crate::io::{Frame, FramePool};

/// A packet buffer of DPDK: one segment, owned by whoever holds this value.
///
/// Invariants: the pointer is a live buffer with a reference count of one, in one segment, whose fields
/// satisfy `data_off + data_len <= buf_len` and `pkt_len == data_len`; `buf_addr..buf_addr + buf_len` is mapped,
/// initialised memory that belongs to the buffer. Drivers and the pool establish them, [`super::ports`] sees to the
/// single segment, the methods here keep them.
#[repr(transparent)]
pub struct Mbuf(NonNull<rte_mbuf>);

// SAFETY: a buffer is plain memory with one owner; pools may be given buffers back from any thread.
unsafe impl Send for Mbuf {}

impl Mbuf {
    /// # Safety
    /// `offset` must be that of a field of type `T` in `rte_mbuf`.
    #[inline]
    unsafe fn field<T: Copy>(&self, offset: u32) -> T {
        // SAFETY: the buffer is live (invariant) and the field is there (contract).
        unsafe { self.0.as_ptr().byte_add(offset as usize).cast::<T>().read() }
    }

    /// # Safety
    /// `offset` must be that of a field of type `T` in `rte_mbuf`, and `value` must keep the invariants.
    #[inline]
    unsafe fn set_field<T: Copy>(&mut self, offset: u32, value: T) {
        // SAFETY: the buffer is live and ours (invariant) and the field is there (contract).
        unsafe {
            self.0
                .as_ptr()
                .byte_add(offset as usize)
                .cast::<T>()
                .write(value)
        }
    }

    #[inline]
    fn offset(&self) -> u16 {
        // SAFETY: `data_off` is a u16 in every release.
        unsafe { self.field(dpdk_sys::SLUICE_MBUF_DATA_OFF) }
    }

    #[inline]
    fn len(&self) -> u16 {
        // SAFETY: `data_len` is a u16 in every release.
        unsafe { self.field(dpdk_sys::SLUICE_MBUF_DATA_LEN) }
    }

    #[inline]
    fn buffer_len(&self) -> u16 {
        // SAFETY: `buf_len` is a u16 in every release.
        unsafe { self.field(dpdk_sys::SLUICE_MBUF_BUF_LEN) }
    }

    /// In how many segments the packet is; a buffer fresh from a driver may have several.
    #[inline]
    pub(super) fn segments(&self) -> u16 {
        // SAFETY: `nb_segs` is a u16 in every release.
        unsafe { self.field(dpdk_sys::SLUICE_MBUF_NB_SEGS) }
    }

    /// Brings a packet of several segments into one. `false` when it does not fit.
    pub(super) fn linearise(&mut self) -> bool {
        // SAFETY: the buffer is live and ours; the function copies into the first segment's free room, or leaves it.
        unsafe { dpdk_sys::rte_pktmbuf_linearize(self.0.as_ptr()) == 0 }
    }

    /// Asks for the first cache line of the packet.
    #[inline]
    pub(super) fn ask(&self) {
        // SAFETY: the invariants say that this byte is there, and that it is a byte is all that is made of it.
        prefetch(unsafe { &*self.start() });
    }

    #[inline]
    fn start(&self) -> *mut u8 {
        // SAFETY: `buf_addr` is a pointer in every release, and `data_off` stays within the buffer (invariant).
        unsafe {
            let buffer: *mut u8 = self.field(dpdk_sys::SLUICE_MBUF_BUF_ADDR);
            buffer.add(usize::from(self.offset()))
        }
    }

    /// # Safety
    /// `offset + len` must not exceed the buffer's length.
    #[inline]
    unsafe fn set_bounds(&mut self, offset: u16, len: u16) {
        // SAFETY: the fields have these types in every release; the contract keeps the invariants.
        unsafe {
            self.set_field(dpdk_sys::SLUICE_MBUF_DATA_OFF, offset);
            self.set_field(dpdk_sys::SLUICE_MBUF_DATA_LEN, len);
            self.set_field(dpdk_sys::SLUICE_MBUF_PKT_LEN, u32::from(len));
        }
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the buffer is live and ours, and nobody sees it after this.
        unsafe { dpdk_sys::rte_pktmbuf_free(self.0.as_ptr()) };
    }
}

impl std::fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mbuf")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl Frame for Mbuf {
    #[inline]
    fn data(&self) -> &[u8] {
        // SAFETY: the invariants say that these bytes are there and ours.
        unsafe { std::slice::from_raw_parts(self.start(), usize::from(self.len())) }
    }

    #[inline]
    fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: the invariants say that these bytes are there and ours.
        unsafe { std::slice::from_raw_parts_mut(self.start(), usize::from(self.len())) }
    }

    #[inline]
    fn push(&mut self, n: usize) -> Option<&mut [u8]> {
        let grow = u16::try_from(n).ok()?;
        let offset = self.offset().checked_sub(grow)?;
        let len = self.len().checked_add(grow)?;
        // SAFETY: their sum is what it was.
        unsafe { self.set_bounds(offset, len) };
        self.data_mut().get_mut(..n)
    }

    #[inline]
    fn pull(&mut self, n: usize) -> bool {
        let Some((shrink, len)) = u16::try_from(n)
            .ok()
            .and_then(|n| Some((n, self.len().checked_sub(n)?)))
        else {
            return false;
        };
        let offset = self.offset() + shrink;
        // SAFETY: their sum is what it was.
        unsafe { self.set_bounds(offset, len) };
        true
    }

    #[inline]
    fn append(&mut self, n: usize) -> Option<&mut [u8]> {
        let (offset, len) = (self.offset(), self.len());
        let longer = len.checked_add(u16::try_from(n).ok()?)?;
        if offset.checked_add(longer)? > self.buffer_len() {
            return None;
        }
        // SAFETY: just checked.
        unsafe { self.set_bounds(offset, longer) };
        self.data_mut().get_mut(usize::from(len)..)
    }

    #[inline]
    fn truncate(&mut self, len: usize) {
        if let Ok(len) = u16::try_from(len)
            && len < self.len()
        {
            // SAFETY: shorter than before.
            unsafe { self.set_bounds(self.offset(), len) };
        }
    }
}

/// Buffers that a thread keeps at hand before it returns some to the pool.
pub(super) const CACHE: u16 = 256;

/// A pool of packet buffers. Clones are the same pool. It lives until the process ends, because a buffer may come back
/// at any time.
#[derive(Clone, Debug)]
pub struct Pool {
    pool: NonNull<rte_mempool>,
    frames: u32,
}

// SAFETY: DPDK's pools with the default operations may be used by any number of threads at once.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

static POOLS: AtomicU32 = AtomicU32::new(0);

impl Pool {
    /// A pool of `frames` buffers with `room` bytes each, headroom included.
    ///
    /// # Errors
    /// [`DpdkError::Pool`] when there is not enough memory.
    pub fn new(_eal: Eal, frames: u32, room: u16) -> Result<Self, DpdkError> {
        let name = format!("sluice{}", POOLS.fetch_add(1, Ordering::Relaxed));
        let name = CString::new(name).map_err(|_| DpdkError::Argument)?;
        // DPDK wants half as much again as a cache in the pool.
        let cache = u32::from(CACHE).min(frames / 3 * 2);
        let any = dpdk_sys::SOCKET_ID_ANY;
        // SAFETY: EAL runs; the name is copied.
        let pool = unsafe {
            dpdk_sys::rte_pktmbuf_pool_create(name.as_ptr(), frames, cache, 0, room, any)
        };
        NonNull::new(pool)
            .map(|pool| Self { pool, frames })
            .ok_or_else(|| DpdkError::Pool {
                frames,
                room,
                reason: Errno::current(),
            })
    }

    /// Buffers in total.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.frames
    }

    /// Buffers that drivers, workers and queues hold now. Reads every thread's cache: for reports, not for each packet.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        // SAFETY: the pool lives as long as the process.
        unsafe { dpdk_sys::rte_mempool_in_use_count(self.pool.as_ptr()) }
    }

    pub(super) fn as_ptr(&self) -> *mut rte_mempool {
        self.pool.as_ptr()
    }
}

impl FramePool for Pool {
    type Frame = Mbuf;

    fn alloc(&self, data: &[u8]) -> Option<Mbuf> {
        // SAFETY: the pool lives as long as the process; a fresh buffer has one segment, one owner and no data.
        let mut mbuf = Mbuf(NonNull::new(unsafe {
            dpdk_sys::rte_pktmbuf_alloc(self.pool.as_ptr())
        })?);
        mbuf.append(data.len())?.copy_from_slice(data);
        Some(mbuf)
    }
}
