//! The one file of this crate with `unsafe`: libzmq's C functions, and some of libc's, as
//! safe calls. libzmq comes first, and a thread that gets no signals; then what the kernel knows of descriptors that
//! are libzmq's own, each of which may be closed, or another file, by the time it is asked.
//!
//! Why not the `zmq` crate throughout: version 0.9.2, the last that links the distribution's
//! libzmq, panics on every errno it does not know (ENETUNREACH, ENOTDIR, EROFS of a bind …),
//! cannot set the number of I/O threads, and allocates a C string for each look-up of
//! message metadata. It serves the tests as a foreign peer.
//!
//! Owns: the context (ended when its last owner goes), sockets (closed when dropped, before
//! their context) and messages (released when dropped).
//! Threads: [`Context`] may be shared; [`Socket`] may move to another thread (the move must
//! carry a memory barrier, as every safe way in Rust does) but is not `Sync`.

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_void};
use std::marker::PhantomData;
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::{fmt, io, slice};

use zmq_sys::zmq_msg_t;

use crate::z85;

// Not declared by zmq-sys 0.11, but exported by every libzmq since 4.2.
unsafe extern "C" {
    fn zmq_curve_public(public: *mut c_char, secret: *const c_char) -> c_int;
}

/// `ZMQ_ZAP_ENFORCE_DOMAIN`: in the draft section of zmq.h, accepted by stock builds.
pub const ZAP_ENFORCE_DOMAIN: u32 = 93;

/// `ZMQ_SRCFD`: called deprecated in zmq.h, answered by every libzmq since 4.1.
const SRCFD: c_int = 2;

/// Why a call failed: an errno of the system or one of libzmq's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub c_int);

impl Errno {
    fn last() -> Errno {
        // SAFETY: no preconditions; reads the calling thread's errno.
        Errno(unsafe { zmq_sys::zmq_errno() })
    }

    /// The call would have had to wait.
    pub fn is_again(self) -> bool {
        self.0 == libc::EAGAIN
    }

    /// A signal interrupted the call.
    pub fn is_interrupted(self) -> bool {
        self.0 == libc::EINTR
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if i64::from(self.0) >= i64::from(zmq_sys::ZMQ_HAUSNUMERO) {
            // SAFETY: for the numbers that it knows libzmq returns pointers to string literals. For others it is
            // strerror's text, with NUL at its end, in a buffer of this thread (glibc 2.32), which is copied at once.
            let text = unsafe { CStr::from_ptr(zmq_sys::zmq_strerror(self.0)) };
            return f.write_str(&text.to_string_lossy());
        }
        // the standard library's sentence is thread-safe; its "(os error 13)" tells a user nothing
        let text = io::Error::from_raw_os_error(self.0).to_string();
        f.write_str(text.split(" (os error").next().unwrap_or(&text))
    }
}

fn check(result: c_int) -> Result<c_int, Errno> {
    if result == -1 { Err(Errno::last()) } else { Ok(result) }
}

/// Calls again for as long as a signal interrupts the call.
fn uninterrupted(mut call: impl FnMut() -> c_int) -> Result<(), Errno> {
    loop {
        match check(call()) {
            Err(errno) if errno.is_interrupted() => {}
            other => return other.map(drop),
        }
    }
}

/// A libzmq context. The last owner ends it and waits there for lingering messages.
pub struct Context(NonNull<c_void>);

// SAFETY: libzmq documents contexts as thread-safe.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    /// A new context; it starts no thread before its first socket.
    pub fn new() -> Result<Arc<Context>, Errno> {
        // SAFETY: no preconditions.
        let context = unsafe { zmq_sys::zmq_ctx_new() };
        NonNull::new(context).map(|context| Arc::new(Context(context))).ok_or_else(Errno::last)
    }

    /// How many threads of libzmq move the bytes; counts only before the first socket.
    pub fn set_io_threads(&self, count: i32) -> Result<(), Errno> {
        // SAFETY: the context lives as long as self.
        let result = unsafe {
            zmq_sys::zmq_ctx_set(self.0.as_ptr(), zmq_sys::ZMQ_IO_THREADS as c_int, count)
        };
        check(result).map(drop)
    }

    /// How many sockets there may be; counts only before the first.
    pub fn set_max_sockets(&self, count: i32) -> Result<(), Errno> {
        // SAFETY: the context lives as long as self.
        let result = unsafe {
            zmq_sys::zmq_ctx_set(self.0.as_ptr(), zmq_sys::ZMQ_MAX_SOCKETS as c_int, count)
        };
        check(result).map(drop)
    }

    /// A new socket of the type with this number.
    pub fn socket(self: &Arc<Self>, kind: u32) -> Result<Socket, Errno> {
        // SAFETY: the context lives as long as self.
        let socket = unsafe { zmq_sys::zmq_socket(self.0.as_ptr(), kind as c_int) };
        let socket = NonNull::new(socket).ok_or_else(Errno::last)?;
        Ok(Socket { socket, _context: Arc::clone(self) })
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: this is the last owner, and each socket holds an owner until it is closed,
        // so no pointer into the context is used after this. The only other error is that of a
        // pointer that is no context.
        let _ = uninterrupted(|| unsafe { zmq_sys::zmq_ctx_term(self.0.as_ptr()) });
    }
}

/// A libzmq socket, closed (with its linger time) when dropped.
pub struct Socket {
    socket: NonNull<c_void>,
    // after the socket in drop order: zmq_close comes before the context may end
    _context: Arc<Context>,
}

// SAFETY: libzmq allows a socket to be used by one thread after another, given a full memory
// barrier between them, which every safe hand-over between threads in Rust contains.
unsafe impl Send for Socket {}

impl Drop for Socket {
    fn drop(&mut self) {
        // SAFETY: the socket is open and nobody uses it after this. The only errors are
        // those of a pointer that is no socket.
        unsafe { zmq_sys::zmq_close(self.socket.as_ptr()) };
    }
}

impl Socket {
    /// Sets an option that is a C int.
    pub fn set_int(&self, option: u32, value: i32) -> Result<(), Errno> {
        self.set(option, &value.to_ne_bytes())
    }

    /// Sets an option that is 64 bits wide.
    pub fn set_long(&self, option: u32, value: i64) -> Result<(), Errno> {
        self.set(option, &value.to_ne_bytes())
    }

    /// Sets an option that is text or bytes.
    pub fn set(&self, option: u32, value: &[u8]) -> Result<(), Errno> {
        // SAFETY: the socket is open; libzmq copies `value.len()` bytes and keeps no pointer.
        check(unsafe {
            zmq_sys::zmq_setsockopt(
                self.socket.as_ptr(),
                option as c_int,
                value.as_ptr().cast(),
                value.len(),
            )
        })
        .map(drop)
    }

    fn get(&self, option: u32, into: &mut [u8]) -> Result<usize, Errno> {
        let mut length = into.len();
        // SAFETY: the socket is open; libzmq writes at most `length` bytes.
        check(unsafe {
            zmq_sys::zmq_getsockopt(
                self.socket.as_ptr(),
                option as c_int,
                into.as_mut_ptr().cast(),
                &mut length,
            )
        })?;
        Ok(length.min(into.len()))
    }

    /// Reads an option that is a C int.
    pub fn get_int(&self, option: u32) -> Result<i32, Errno> {
        let mut value = [0; mem::size_of::<i32>()];
        self.get(option, &mut value)?;
        Ok(i32::from_ne_bytes(value))
    }

    /// The address of the last bind, with wildcards resolved.
    pub fn last_endpoint(&self) -> Result<String, Errno> {
        let mut text = [0; 512];
        let length = self.get(zmq_sys::ZMQ_LAST_ENDPOINT, &mut text)?;
        let text = text[..length].split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    /// Accepts connections at this address.
    pub fn bind(&self, address: &str) -> Result<(), Errno> {
        let address = c_string(address)?;
        // SAFETY: the socket is open; the string ends with NUL and lives through the call.
        check(unsafe { zmq_sys::zmq_bind(self.socket.as_ptr(), address.as_ptr()) }).map(drop)
    }

    /// Connects to this address, now and again after each loss.
    pub fn connect(&self, address: &str) -> Result<(), Errno> {
        let address = c_string(address)?;
        // SAFETY: as for bind.
        check(unsafe { zmq_sys::zmq_connect(self.socket.as_ptr(), address.as_ptr()) }).map(drop)
    }

    /// Accepts no more connections at this address, and ends those it has accepted.
    pub fn unbind(&self, address: &str) -> Result<(), Errno> {
        let address = c_string(address)?;
        // SAFETY: as for bind.
        check(unsafe { zmq_sys::zmq_unbind(self.socket.as_ptr(), address.as_ptr()) }).map(drop)
    }

    /// Undoes a connect: what is in its queue is gone.
    pub fn disconnect(&self, address: &str) -> Result<(), Errno> {
        let address = c_string(address)?;
        // SAFETY: as for bind.
        check(unsafe { zmq_sys::zmq_disconnect(self.socket.as_ptr(), address.as_ptr()) }).map(drop)
    }

    /// Reports these events on a PAIR at this inproc address.
    pub fn start_monitor(&self, address: &str, events: u32) -> Result<(), Errno> {
        let address = c_string(address)?;
        // SAFETY: as for bind.
        check(unsafe {
            zmq_sys::zmq_socket_monitor(self.socket.as_ptr(), address.as_ptr(), events as c_int)
        })
        .map(drop)
    }

    /// Reports no more events; says so with a last one.
    pub fn stop_monitor(&self) {
        // SAFETY: the socket is open; a null address asks for the end of the monitor.
        unsafe { zmq_sys::zmq_socket_monitor(self.socket.as_ptr(), ptr::null(), 0) };
    }

    /// Sends one frame without waiting. The frame is empty afterwards, if it was taken.
    pub fn send(&self, frame: &mut Frame, more: bool) -> Result<(), Errno> {
        let flags =
            if more { zmq_sys::ZMQ_DONTWAIT | zmq_sys::ZMQ_SNDMORE } else { zmq_sys::ZMQ_DONTWAIT };
        // SAFETY: the socket is open; the message is initialised and stays so, whether
        // libzmq takes its content or not.
        uninterrupted(|| unsafe {
            zmq_sys::zmq_msg_send(&mut frame.0, self.socket.as_ptr(), flags as c_int)
        })
    }

    /// Receives one frame without waiting, in place of what the frame held.
    pub fn receive(&self, frame: &mut Frame) -> Result<(), Errno> {
        let flags = zmq_sys::ZMQ_DONTWAIT as c_int;
        // SAFETY: the socket is open; the message is initialised, and libzmq releases
        // its old content before it puts in the new.
        uninterrupted(|| unsafe {
            zmq_sys::zmq_msg_recv(&mut frame.0, self.socket.as_ptr(), flags)
        })
    }

    /// Joins a group (DISH).
    pub fn join(&self, group: &str) -> Result<(), Errno> {
        let drafts = Drafts::get().ok_or(Errno(libc::ENOSYS))?;
        let group = c_string(group)?;
        // SAFETY: the function has the signature zmq.h gives it; the rest as for bind.
        check(unsafe { (drafts.join)(self.socket.as_ptr(), group.as_ptr()) }).map(drop)
    }
}

fn c_string(text: &str) -> Result<CString, Errno> {
    CString::new(text).map_err(|_| Errno(libc::EINVAL))
}

/// One frame of a message: libzmq's own buffer, released when dropped.
pub struct Frame(zmq_msg_t);

impl Frame {
    /// An empty frame.
    pub fn new() -> Frame {
        let mut message = zmq_msg_t::default();
        // SAFETY: initialises the 64 bytes; cannot fail.
        unsafe { zmq_sys::zmq_msg_init(&mut message) };
        Frame(message)
    }

    /// A frame that holds these parts, one after the other: one buffer, one copy.
    pub fn joined(parts: &[&[u8]]) -> Result<Frame, Errno> {
        let length = parts.iter().map(|part| part.len()).sum();
        let mut message = zmq_msg_t::default();
        // SAFETY: initialises the message with room for `length` bytes, or fails.
        check(unsafe { zmq_sys::zmq_msg_init_size(&mut message, length) })?;
        let mut frame = Frame(message);
        // SAFETY: the message is initialised; its data are `length` writable bytes.
        let mut data = unsafe { zmq_sys::zmq_msg_data(&mut frame.0) }.cast::<u8>();
        for part in parts {
            // SAFETY: the parts together are `length` bytes long, as long as the new buffer,
            // which nobody else knows; `data` stays within it.
            unsafe {
                ptr::copy_nonoverlapping(part.as_ptr(), data, part.len());
                data = data.add(part.len());
            }
        }
        Ok(frame)
    }

    /// What the frame holds.
    pub fn bytes(&self) -> &[u8] {
        let message: *const zmq_msg_t = &self.0;
        // SAFETY: the message is initialised. zmq_msg_data takes a mutable pointer but only
        // computes an address from it. The bytes live until the frame changes, which needs
        // `&mut self`.
        unsafe {
            let length = zmq_sys::zmq_msg_size(message);
            if length == 0 {
                return &[];
            }
            slice::from_raw_parts(zmq_sys::zmq_msg_data(message.cast_mut()).cast(), length)
        }
    }

    /// More frames of the same message follow.
    pub fn more(&self) -> bool {
        // SAFETY: the message is initialised.
        unsafe { zmq_sys::zmq_msg_more(&self.0) != 0 }
    }

    /// A property of the connection the frame came by.
    pub fn property(&self, name: &CStr) -> Option<&CStr> {
        // SAFETY: the message is initialised; the name ends with NUL.
        let value = unsafe { zmq_sys::zmq_msg_gets(&self.0, name.as_ptr()) };
        // SAFETY: a value that is not null ends with NUL and lives as long as the message
        // keeps its metadata, which needs `&mut self` to change.
        (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) })
    }

    /// The descriptor of the connection the frame came on; none of one that came otherwise.
    pub fn source(&self) -> Option<RawFd> {
        // SAFETY: the message is initialised, and is only read.
        let fd = unsafe { zmq_sys::zmq_msg_get(&self.0, SRCFD) };
        (fd >= 0).then_some(fd)
    }

    /// Addresses the frame to a group (RADIO).
    pub fn set_group(&mut self, group: &str) -> Result<(), Errno> {
        let drafts = Drafts::get().ok_or(Errno(libc::ENOSYS))?;
        let group = c_string(group)?;
        // SAFETY: the function has the signature zmq.h gives it, the message is initialised,
        // and libzmq copies the group.
        check(unsafe { (drafts.set_group)(&mut self.0, group.as_ptr()) }).map(drop)
    }

    /// The group the frame was sent to (DISH).
    pub fn group(&self) -> Option<&CStr> {
        let drafts = Drafts::get()?;
        let message: *const zmq_msg_t = &self.0;
        // SAFETY: the function has the signature zmq.h gives it and only reads; the group
        // lives as long as the message's content.
        let group = unsafe { (drafts.group)(message.cast_mut()) };
        // SAFETY: as above; a group ends with NUL.
        (!group.is_null()).then(|| unsafe { CStr::from_ptr(group) })
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        // SAFETY: the message is initialised and not used after this.
        unsafe { zmq_sys::zmq_msg_close(&mut self.0) };
    }
}

/// One thing to wait for.
#[repr(transparent)]
pub struct Awaited<'a>(zmq_sys::zmq_pollitem_t, PhantomData<&'a Socket>);

impl<'a> Awaited<'a> {
    /// A message to receive.
    pub fn message(socket: &'a Socket) -> Awaited<'a> {
        Self::new(socket.socket.as_ptr(), 0, zmq_sys::ZMQ_POLLIN)
    }

    /// Room to send a message.
    pub fn room(socket: &'a Socket) -> Awaited<'a> {
        Self::new(socket.socket.as_ptr(), 0, zmq_sys::ZMQ_POLLOUT)
    }

    /// Something to read from a file descriptor.
    pub fn descriptor(fd: RawFd) -> Awaited<'a> {
        Self::new(ptr::null_mut(), fd, zmq_sys::ZMQ_POLLIN)
    }

    fn new(socket: *mut c_void, fd: RawFd, events: u32) -> Awaited<'a> {
        let item = zmq_sys::zmq_pollitem_t { socket, fd, events: events as i16, revents: 0 };
        Awaited(item, PhantomData)
    }

    /// It came (or, of a descriptor: it is broken, which its owner will see when reading).
    pub fn came(&self) -> bool {
        self.0.revents != 0
    }
}

/// Waits until something came or the time (in ms, -1: no limit) is over.
pub fn wait(items: &mut [Awaited<'_>], timeout: i64) -> Result<(), Errno> {
    let count = c_int::try_from(items.len()).map_err(|_| Errno(libc::EINVAL))?;
    // SAFETY: Awaited is a transparent wrapper of the C struct, so the slice is an array of
    // `count` of them; the sockets in it are borrowed, hence open.
    check(unsafe { zmq_sys::zmq_poll(items.as_mut_ptr().cast(), count, timeout as c_long) })
        .map(drop)
}

/// What the loaded libzmq can do, by libzmq's name for it.
pub fn has(capability: &CStr) -> bool {
    // SAFETY: the string ends with NUL.
    unsafe { zmq_sys::zmq_has(capability.as_ptr()) == 1 }
}

/// The version of the loaded libzmq.
pub fn version() -> (i32, i32, i32) {
    let (mut major, mut minor, mut patch) = (0, 0, 0);
    // SAFETY: three valid pointers to ints.
    unsafe { zmq_sys::zmq_version(&mut major, &mut minor, &mut patch) };
    (major, minor, patch)
}

/// A key in Z85 with the NUL that libzmq writes and wants.
type KeyText = [u8; z85::KEY_CHARACTERS + 1];
const NO_KEY: KeyText = [0; z85::KEY_CHARACTERS + 1];

/// A fresh pair of keys in Z85: public, secret.
pub fn key_pair() -> Result<(KeyText, KeyText), Errno> {
    let (mut public, mut secret) = (NO_KEY, NO_KEY);
    // SAFETY: libzmq writes a key and NUL into each, as many bytes as it has.
    check(unsafe {
        zmq_sys::zmq_curve_keypair(public.as_mut_ptr().cast(), secret.as_mut_ptr().cast())
    })?;
    Ok((public, secret))
}

/// The public key that belongs to a secret one, both in Z85.
pub fn public_of(secret: &KeyText) -> Result<KeyText, Errno> {
    if secret.last() != Some(&0) {
        return Err(Errno(libc::EINVAL));
    }
    let mut public = NO_KEY;
    // SAFETY: the secret ends with NUL (checked above); libzmq writes a key and NUL, as many bytes as there are.
    check(unsafe { zmq_curve_public(public.as_mut_ptr().cast(), secret.as_ptr().cast()) })?;
    Ok(public)
}

/// The draft functions, where the loaded libzmq has them. They are looked up and not linked,
/// or the modules would not load with a stock libzmq.
struct Drafts {
    join: unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int,
    set_group: unsafe extern "C" fn(*mut zmq_msg_t, *const c_char) -> c_int,
    group: unsafe extern "C" fn(*mut zmq_msg_t) -> *const c_char,
}

impl Drafts {
    fn get() -> Option<&'static Drafts> {
        static DRAFTS: OnceLock<Option<Drafts>> = OnceLock::new();
        DRAFTS.get_or_init(|| if has(c"draft") { Drafts::look_up() } else { None }).as_ref()
    }

    fn look_up() -> Option<Drafts> {
        let mut found = MaybeUninit::<libc::Dl_info>::zeroed();
        let known: unsafe extern "C" fn(*mut c_int, *mut c_int, *mut c_int) = zmq_sys::zmq_version;
        // SAFETY: dladdr only reads the address and fills in `found`, all of it, if it knows
        // the address; zeroes are a valid value of the struct (null pointers).
        let found = unsafe {
            libc::dladdr(known as *const c_void, found.as_mut_ptr());
            found.assume_init()
        };
        if found.dli_fname.is_null() {
            return None;
        }
        // The library is asked for by name, because a module's libraries need not be in the
        // scope RTLD_DEFAULT searches. NOLOAD: the one that is loaded or none.
        // SAFETY: the name ends with NUL. The handle is never closed: the pointers below
        // stay valid as long as the process runs.
        let library = unsafe { libc::dlopen(found.dli_fname, libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
        if library.is_null() {
            return None;
        }
        let symbol = |name: &CStr| {
            // SAFETY: the handle is valid, the name ends with NUL.
            NonNull::new(unsafe { libc::dlsym(library, name.as_ptr()) })
        };
        let (join, set_group, group) =
            (symbol(c"zmq_join")?, symbol(c"zmq_msg_set_group")?, symbol(c"zmq_msg_group")?);
        // SAFETY: functions of these names have these signatures in every zmq.h since 4.2.
        Some(unsafe {
            Drafts {
                join: mem::transmute::<
                    NonNull<c_void>,
                    unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int,
                >(join),
                set_group: mem::transmute::<
                    NonNull<c_void>,
                    unsafe extern "C" fn(*mut zmq_msg_t, *const c_char) -> c_int,
                >(set_group),
                group: mem::transmute::<
                    NonNull<c_void>,
                    unsafe extern "C" fn(*mut zmq_msg_t) -> *const c_char,
                >(group),
            }
        })
    }
}

/// The loaded libzmq has the draft API: it says so, and the functions are there.
pub fn has_drafts() -> bool {
    Drafts::get().is_some()
}

/// Starts a thread that no signal ever reaches: signals belong to the host program.
pub fn spawn_without_signals(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises `all`; pthread_sigmask reads it and initialises
    // `before`. A new thread inherits the mask of the one that makes it.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    // SAFETY: `before` was initialised above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    thread
}

// From here on the kernel is asked: of libzmq's own descriptors, and of the host's interfaces.

/// The other end of a connected TCP socket that belongs to libzmq; none if it is gone by now
/// or no TCP socket.
pub fn peer_of(fd: RawFd) -> Option<SocketAddr> {
    address_of(fd, libc::getpeername)
}

/// This end's port of a TCP socket; none of what is none.
pub fn port_of(fd: RawFd) -> Option<u16> {
    address_of(fd, libc::getsockname).map(|address| address.port())
}

/// Asks for the interfaces of this host as libzmq does for each address that it binds or calls from, but for
/// `*`. Where it can't (a service that may not use `AF_NETLINK`, no descriptor left) libzmq ends the process
/// (errno_assert in ip_resolver.cpp), so ask first.
pub fn ask_for_interfaces() -> Result<(), Errno> {
    let mut list = ptr::null_mut();
    // SAFETY: the pointer may be written; what getifaddrs has put there is given back once, and only then.
    unsafe {
        if libc::getifaddrs(&mut list) == -1 {
            return Err(Errno::last());
        }
        libc::freeifaddrs(list);
    }
    Ok(())
}

type AddressQuery = unsafe extern "C" fn(c_int, *mut libc::sockaddr, *mut libc::socklen_t) -> c_int;

fn address_in(fd: RawFd, query: AddressQuery) -> Option<libc::sockaddr_storage> {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut length = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: the query is getpeername or getsockname. The kernel writes at most `length` bytes; zeroes are
    // a valid value, so what it leaves alone is initialised too. A descriptor that is closed by now is an
    // error.
    unsafe {
        let is_known = query(fd, storage.as_mut_ptr().cast(), &mut length) == 0;
        is_known.then(|| storage.assume_init())
    }
}

fn address_of(fd: RawFd, query: AddressQuery) -> Option<SocketAddr> {
    let storage = address_in(fd, query)?;
    match c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: for this family the storage holds a sockaddr_in, which it can hold
            // and is aligned for.
            let address = unsafe { &*(&raw const storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
            Some(SocketAddr::new(IpAddr::V4(ip), u16::from_be(address.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: as above, with sockaddr_in6.
            let address = unsafe { &*(&raw const storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr).to_canonical();
            Some(SocketAddr::new(ip, u16::from_be(address.sin6_port)))
        }
        _ => None,
    }
}

/// What the system knows a connection by that came in by this socket file, or was made to it, as libzmq
/// writes its path (`@`: a name without a file); none if the descriptor is another file by now.
pub fn local_at(fd: RawFd, path: &str) -> Option<u64> {
    let ends: [AddressQuery; 2] = [libc::getsockname, libc::getpeername];
    ends.into_iter().any(|end| is_local(fd, end, path)).then(|| number_of(fd)).flatten()
}

fn is_local(fd: RawFd, end: AddressQuery, path: &str) -> bool {
    let Some(storage) = address_in(fd, end) else { return false };
    if c_int::from(storage.ss_family) != libc::AF_UNIX {
        return false;
    }
    // SAFETY: for this family the storage holds a sockaddr_un, which it can hold and is aligned for.
    let address = unsafe { &*(&raw const storage).cast::<libc::sockaddr_un>() };
    let mut own = address.sun_path.map(|byte| byte as u8);
    if path.starts_with('@') && own[0] == 0 {
        own[0] = b'@';
    }
    let own = own.split(|byte| *byte == 0).next().unwrap_or_default();
    own == path.as_bytes()
}

/// The number that a socket has, and no other that is open.
fn number_of(fd: RawFd) -> Option<u64> {
    let mut found = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the kernel writes a whole stat, or nothing; zeroes are a valid value. A descriptor that is
    // closed by now is an error.
    let (result, found) = unsafe { (libc::fstat(fd, found.as_mut_ptr()), found.assume_init()) };
    (result == 0 && found.st_mode & libc::S_IFMT == libc::S_IFSOCK).then_some(found.st_ino)
}

/// Ends a connection that belongs to libzmq, which then closes it, if it still is the one with this
/// peer: the descriptor may be another file by now.
pub fn shut_down(fd: RawFd, peer: SocketAddr) {
    if peer_of(fd) == Some(peer) {
        // SAFETY: no memory is involved. Of a descriptor that is no socket, or closed, it is an error.
        unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
    }
}

/// The same, of one that [`local_at`] has answered this number of.
pub fn shut_down_local(fd: RawFd, number: u64) {
    if number_of(fd) == Some(number) {
        // SAFETY: as above.
        unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
    }
}

/// Bytes of a TCP connection that belongs to libzmq: sent and acknowledged, received.
pub fn traffic(fd: RawFd) -> Option<(u64, u64)> {
    // the head of the kernel's tcp_info; tcpi_bytes_acked and tcpi_bytes_received are its last two
    let mut info = [0_u64; 17];
    let mut length = mem::size_of_val(&info) as libc::socklen_t;
    let (level, option) = (libc::IPPROTO_TCP, libc::TCP_INFO);
    // SAFETY: the kernel writes at most `length` bytes. A descriptor that is closed by now, or no TCP
    // socket, is an error.
    let result =
        unsafe { libc::getsockopt(fd, level, option, info.as_mut_ptr().cast(), &mut length) };
    (result == 0 && length as usize == mem::size_of_val(&info)).then_some((info[15], info[16]))
}

/// Has `epoll` tell when bytes come on this descriptor, and each time that more come; or no more.
pub fn tell_of_input(epoll: BorrowedFd<'_>, fd: RawFd, more: bool) {
    let operation = if more { libc::EPOLL_CTL_ADD } else { libc::EPOLL_CTL_DEL };
    let events = (libc::EPOLLIN | libc::EPOLLET) as u32;
    let mut event = libc::epoll_event { events, u64: fd as u64 };
    // SAFETY: the kernel only reads the event. A descriptor that is closed by now is an error.
    unsafe { libc::epoll_ctl(epoll.as_raw_fd(), operation, fd, &mut event) };
}

/// A descriptor of our own for the socket that listens at this port by libzmq's; none if that is another file by
/// now, an error where the process has no descriptor left. While it is open the port stays taken.
pub fn listener(fd: RawFd, port: u16) -> Result<Option<OwnedFd>, Errno> {
    // first of libzmq's own: to close another of a file may give up a lock that the process has on it
    if port_of(fd) != Some(port) || !listens(fd) {
        return Ok(None);
    }
    // SAFETY: no memory is involved. A descriptor that is closed by now is an error.
    let own = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) };
    if own == -1 {
        let errno = Errno::last();
        return if errno == Errno(libc::EBADF) { Ok(None) } else { Err(errno) };
    }
    // SAFETY: it is open, and nobody else knows of it.
    let own = unsafe { OwnedFd::from_raw_fd(own) };
    Ok((port_of(own.as_raw_fd()) == Some(port) && listens(own.as_raw_fd())).then_some(own))
}

fn listens(fd: RawFd) -> bool {
    let mut answer: c_int = 0;
    let mut length = mem::size_of_val(&answer) as libc::socklen_t;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_ACCEPTCONN);
    // SAFETY: the kernel writes at most `length` bytes. A descriptor that is closed by now, or no socket, is an
    // error.
    let result =
        unsafe { libc::getsockopt(fd, level, option, (&raw mut answer).cast(), &mut length) };
    result == 0 && answer != 0
}

/// A `sock_fprog` (linux/filter.h) with its padding as a field: the kernel reads all of its bytes, and so does
/// valgrind.
#[repr(C)]
struct Program {
    len: libc::c_ushort,
    padding: [u8; mem::offset_of!(libc::sock_fprog, filter) - mem::size_of::<libc::c_ushort>()],
    filter: *const libc::sock_filter,
}

const _: () = assert!(
    mem::size_of::<Program>() == mem::size_of::<libc::sock_fprog>()
        && mem::offset_of!(Program, filter) == mem::offset_of!(libc::sock_fprog, filter)
);

/// Puts a program on a socket, in the place of any other; an empty one takes it away, if there is one.
pub fn filter(socket: &impl AsFd, program: &[libc::sock_filter]) -> Result<(), Errno> {
    let fd = socket.as_fd().as_raw_fd();
    let option = if program.is_empty() { libc::SO_DETACH_FILTER } else { libc::SO_ATTACH_FILTER };
    let len = libc::c_ushort::try_from(program.len()).map_err(|_| Errno(libc::EINVAL))?;
    let program = Program { len, padding: Default::default(), filter: program.as_ptr() };
    let length = mem::size_of_val(&program) as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes of `program` and, to put it there, `len` steps behind its pointer,
    // and writes nothing. It refuses a program that it cannot run safely.
    let result = unsafe {
        libc::setsockopt(fd, libc::SOL_SOCKET, option, (&raw const program).cast(), length)
    };
    match result {
        -1 => match Errno::last() {
            Errno(libc::ENOENT) if len == 0 => Ok(()),
            errno => Err(errno),
        },
        _ => Ok(()),
    }
}

/// From now on the system changes no filter of this socket.
#[cfg(test)]
pub fn lock_filter(socket: &impl AsFd) {
    let (fd, on): (RawFd, c_int) = (socket.as_fd().as_raw_fd(), 1);
    let length = mem::size_of_val(&on) as libc::socklen_t;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_LOCK_FILTER);
    // SAFETY: the kernel reads `length` bytes.
    let result = unsafe { libc::setsockopt(fd, level, option, (&raw const on).cast(), length) };
    assert_eq!(result, 0);
}

#[cfg(test)]
mod tests;
