//! bpf(2): maps, programs and links from definitions that need no parsing. aya's loader reads and parses the type
//! information of the whole kernel for every object, 70 ms and tens of megabytes, which these programs don't need.
#![expect(unsafe_code, reason = "bpf(2) is given addresses of its arguments")]

use std::{
    ffi::CStr,
    io,
    mem::offset_of,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use httpfault_common::abi::{Lease, SENT_PLACES, sent_place};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

// Commands and flags of include/uapi/linux/bpf.h.
const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_TEST_RUN: libc::c_int = 10;
const PROG_QUERY: libc::c_int = 16;
const MAP_FREEZE: libc::c_int = 22;
const LINK_CREATE: libc::c_int = 28;
const SK_LOOKUP: u32 = 36;
const NAME_LENGTH: usize = 16;
/// The most programs that one namespace can have (`MAX_PROGS` of kernel/bpf/net_namespace.c).
const MOST_LOOKUPS: usize = 64;

/// A map to make.
pub(super) struct NewMap<'a> {
    pub(super) name: &'a str,
    pub(super) kind: u32,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    pub(super) max_entries: u32,
    pub(super) flags: u32,
}

/// A program to load.
pub(super) struct NewProgram<'a> {
    pub(super) name: &'a str,
    pub(super) kind: u32,
    pub(super) attach: u32,
    pub(super) code: &'a [u64],
    pub(super) license: &'a CStr,
}

// The parts of `union bpf_attr` that are used, each from its first field on. The kernel takes what is left out as zero.

#[repr(C)]
struct MapCreate {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    inner_map: u32,
    numa_node: u32,
    name: [u8; NAME_LENGTH],
}

#[repr(C)]
struct MapElement {
    map: RawFd,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct ProgLoad {
    kind: u32,
    instructions: u32,
    code: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; NAME_LENGTH],
    interface: u32,
    attach: u32,
}

#[repr(C)]
struct MapFreeze {
    map: RawFd,
}

#[repr(C)]
struct ProgQuery {
    target: RawFd,
    attach: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    pad: u32,
}

#[repr(C)]
struct ProgAttach {
    target: RawFd,
    program: RawFd,
    attach: u32,
    flags: u32,
}

#[repr(C)]
struct ProgTestRun {
    program: RawFd,
    returned: u32,
    size_in: u32,
    size_out: u32,
    data_in: u64,
    data_out: u64,
}

#[repr(C)]
struct LinkCreate {
    program: RawFd,
    target: RawFd,
    attach: u32,
    flags: u32,
}

pub(super) fn create_map(map: &NewMap<'_>) -> io::Result<OwnedFd> {
    let mut attr = MapCreate {
        kind: map.kind,
        key_size: map.key_size,
        value_size: map.value_size,
        max_entries: map.max_entries,
        flags: map.flags,
        inner_map: 0,
        numa_node: 0,
        name: object_name(map.name),
    };
    // SAFETY: the attributes hold no address.
    unsafe { descriptor(MAP_CREATE, &mut attr) }
}

/// Writes the only element of a map whose elements are `value.len()` bytes long.
pub(super) fn fill_map(map: impl AsFd, value: &[u8]) -> io::Result<()> {
    let key = 0_u32;
    let mut attr = MapElement {
        map: map.as_fd().as_raw_fd(),
        pad: 0,
        key: address(&raw const key),
        value: address(value.as_ptr()),
        flags: 0,
    };
    // SAFETY: the kernel reads a key of four bytes, and a value as long as the map's, which the caller vouches for.
    unsafe { call(MAP_UPDATE_ELEM, &mut attr) }.map(drop)
}

/// From here on the map's contents are constants to the verifier, which leaves out code that they exclude.
pub(super) fn freeze_map(map: impl AsFd) -> io::Result<()> {
    let mut attr = MapFreeze { map: map.as_fd().as_raw_fd() };
    // SAFETY: the attributes hold no address.
    unsafe { call(MAP_FREEZE, &mut attr) }.map(drop)
}

/// Loads a program. With a log, what the verifier has to say goes there, as text that ends with a zero.
pub(super) fn load_program(program: &NewProgram<'_>, log: Option<&mut [u8]>) -> io::Result<OwnedFd> {
    let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
    let (log, log_size) = match log {
        Some(log) => (address(log.as_mut_ptr()), u32::try_from(log.len()).map_err(too_large)?),
        None => (0, 0),
    };
    let mut attr = ProgLoad {
        kind: program.kind,
        instructions: u32::try_from(program.code.len()).map_err(too_large)?,
        code: address(program.code.as_ptr()),
        license: address(program.license.as_ptr()),
        log_level: u32::from(log_size > 0),
        log_size,
        log,
        kernel_version: 0,
        flags: 0,
        name: object_name(program.name),
        interface: 0,
        attach: program.attach,
    };
    // SAFETY: the addresses are of live memory, as long as the kernel is told; the license ends with a zero.
    unsafe { descriptor(PROG_LOAD, &mut attr) }
}

/// The lease map in this process's memory: writing a word of it is no system call.
#[derive(Debug)]
pub(crate) struct LeaseWords(NonNull<SharedLease>);

/// `abi::Lease`, as two sides see it.
struct SharedLease {
    alive_until_ns: AtomicU64,
    deadline_ns: AtomicU64,
}

const _: () = {
    assert!(size_of::<SharedLease>() == size_of::<Lease>());
    assert!(offset_of!(SharedLease, alive_until_ns) == offset_of!(Lease, alive_until_ns));
    assert!(offset_of!(SharedLease, deadline_ns) == offset_of!(Lease, deadline_ns));
};

impl LeaseWords {
    /// Maps a map of one element that was made with BPF_F_MMAPABLE.
    pub(crate) fn map(map: impl AsFd) -> io::Result<Self> {
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: the kernel chooses where; nothing else is there.
        let page = unsafe { mmap(std::ptr::null_mut(), size_of::<Lease>(), protection, flags, map, 0) }?;
        NonNull::new(page.cast()).map(Self).ok_or_else(|| io::Error::other("mapped at address zero"))
    }

    pub(crate) fn set_alive_until(&self, boot_ns: u64) {
        self.words().alive_until_ns.store(boot_ns, Ordering::Release);
    }

    pub(crate) fn set_deadline(&self, boot_ns: u64) {
        self.words().deadline_ns.store(boot_ns, Ordering::Release);
    }

    fn words(&self) -> &SharedLease {
        // SAFETY: the page is mapped for as long as `self` lives, and its first bytes are the lease.
        unsafe { self.0.as_ref() }
    }
}

// SAFETY: the words are atomic, and the mapping belongs to the process, not to a thread.
unsafe impl Send for LeaseWords {}
// SAFETY: as above.
unsafe impl Sync for LeaseWords {}

impl Drop for LeaseWords {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length and nobody refers to it any more. A failure leaves a page mapped.
        let _left = unsafe { munmap(self.0.as_ptr().cast(), size_of::<Lease>()) };
    }
}

/// The in-task clients that were sent to the responder, in this process's memory: reading it takes no system call, and no
/// right to ask about maps.
#[derive(Debug)]
pub(crate) struct Sent(NonNull<[AtomicU64; SENT_PLACES as usize]>);

impl Sent {
    /// Maps `abi::map::SENT`, which was made with BPF_F_MMAPABLE.
    pub(crate) fn map(map: impl AsFd) -> io::Result<Self> {
        let length = size_of::<[AtomicU64; SENT_PLACES as usize]>();
        // SAFETY: the kernel chooses where; nothing else is there. The map is as long, or this fails.
        let pages = unsafe { mmap(std::ptr::null_mut(), length, ProtFlags::READ, MapFlags::SHARED, map, 0) }?;
        NonNull::new(pages.cast()).map(Self).ok_or_else(|| io::Error::other("mapped at address zero"))
    }

    /// Whether the client whose socket has this cookie was sent.
    pub(crate) fn contains(&self, cookie: u64) -> bool {
        // SAFETY: the pages are mapped for as long as `self` lives; they are read alone.
        let places = unsafe { self.0.as_ref() };
        let place = places.get(sent_place(cookie) as usize);
        cookie != 0 && place.is_some_and(|place| place.load(Ordering::Acquire) == cookie)
    }
}

// SAFETY: the words are atomic, and the mapping belongs to the process, not to a thread.
unsafe impl Send for Sent {}
// SAFETY: as above.
unsafe impl Sync for Sent {}

impl Drop for Sent {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length and nobody refers to it any more. A failure leaves pages mapped.
        let _left = unsafe { munmap(self.0.as_ptr().cast(), size_of::<[AtomicU64; SENT_PLACES as usize]>()) };
    }
}

/// Attaches a program to a namespace or a cgroup, for as long as the returned descriptor is open.
pub(super) fn link(program: impl AsFd, target: impl AsFd, attach: u32) -> io::Result<OwnedFd> {
    let mut attr = LinkCreate {
        program: program.as_fd().as_raw_fd(),
        target: target.as_fd().as_raw_fd(),
        attach,
        flags: 0,
    };
    // SAFETY: the attributes hold no address.
    unsafe { descriptor(LINK_CREATE, &mut attr) }
}

/// Attaches a verdict to a map of sockets. It goes with the map.
pub(super) fn attach_verdict(program: impl AsFd, sockets: impl AsFd) -> io::Result<()> {
    // BPF_SK_SKB_STREAM_VERDICT
    const STREAM_VERDICT: u32 = 5;
    let mut attr = ProgAttach {
        target: sockets.as_fd().as_raw_fd(),
        program: program.as_fd().as_raw_fd(),
        attach: STREAM_VERDICT,
        flags: 0,
    };
    // SAFETY: the attributes hold no address.
    unsafe { call(PROG_ATTACH, &mut attr) }.map(drop)
}

/// Runs a program once, on a packet that it may change.
pub(super) fn run_program<const N: usize>(program: BorrowedFd<'_>, packet: &[u8; N]) -> io::Result<[u8; N]> {
    let mut changed = [0; N];
    let size = u32::try_from(N).map_err(io::Error::other)?;
    let mut attr = ProgTestRun {
        program: program.as_raw_fd(),
        returned: 0,
        size_in: size,
        size_out: size,
        data_in: address(packet.as_ptr()),
        data_out: address(changed.as_mut_ptr()),
    };
    // SAFETY: both addresses are of live memory, as long as the kernel is told.
    unsafe { call(PROG_TEST_RUN, &mut attr) }?;
    Ok(changed)
}

/// Attaches a program to a socket as its filter; an earlier filter is replaced.
pub(super) fn attach_filter(socket: impl AsFd, program: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::SO_ATTACH_BPF, program.as_raw_fd())
}

/// Takes the filter off a socket.
pub(super) fn detach_filter(socket: impl AsFd) -> io::Result<()> {
    // The value is asked for, and not looked at.
    set_option(socket, libc::SO_DETACH_BPF, 0)
}

fn set_option(socket: impl AsFd, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of_val(&value)).map_err(io::Error::other)?;
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: the value is an integer that lives during the call, as long as the kernel is told.
    let failed =
        unsafe { libc::setsockopt(socket, libc::SOL_SOCKET, name, (&raw const value).cast(), length) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ids of the sk_lookup programs of a namespace, in the order in which they run.
pub(super) fn attached_lookups(netns: impl AsFd) -> io::Result<Vec<u32>> {
    let mut ids = [0_u32; MOST_LOOKUPS];
    let mut attr = ProgQuery {
        target: netns.as_fd().as_raw_fd(),
        attach: SK_LOOKUP,
        query_flags: 0,
        attach_flags: 0,
        ids: address(ids.as_mut_ptr()),
        count: u32::try_from(MOST_LOOKUPS).map_err(io::Error::other)?,
        pad: 0,
    };
    // SAFETY: the array has room for as many ids as the kernel is told.
    unsafe { call(PROG_QUERY, &mut attr) }?;
    Ok(ids.into_iter().take_while(|id| *id != 0).collect())
}

/// The kernel's id of a loaded program.
pub(super) fn program_id(program: BorrowedFd<'_>) -> io::Result<u32> {
    let told = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", program.as_raw_fd()))?;
    let id = told.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok());
    id.ok_or_else(|| io::Error::other("the kernel does not tell the program's id"))
}

fn object_name(name: &str) -> [u8; NAME_LENGTH] {
    let mut bytes = [0; NAME_LENGTH];
    // The last byte stays zero.
    for (byte, letter) in bytes.iter_mut().zip(name.bytes().take(NAME_LENGTH - 1)) {
        *byte = letter;
    }
    bytes
}

fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

/// # Safety
///
/// As for [`call`], and the command must return a new descriptor.
unsafe fn descriptor<T>(command: libc::c_int, attr: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise.
    let fd = unsafe { call(command, attr) }?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// # Safety
///
/// Every address in the attributes must be valid for what the command does with it.
unsafe fn call<T>(command: libc::c_int, attr: &mut T) -> io::Result<RawFd> {
    // SAFETY: the attributes are as long as the kernel is told; the rest is the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    RawFd::try_from(result).map_err(io::Error::other)
}
