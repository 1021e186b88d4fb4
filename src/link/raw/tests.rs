use std::time::{Duration, Instant};

use super::*;

fn blocked_signals() -> Vec<c_int> {
    let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: without a new mask pthread_sigmask only writes the present one.
    let mask = unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, ptr::null(), mask.as_mut_ptr());
        mask.assume_init()
    };
    // SAFETY: the mask is initialised.
    (1..32).filter(|signal| unsafe { libc::sigismember(&mask, *signal) } == 1).collect()
}

#[test]
fn threads_get_no_signals_and_their_maker_keeps_its_own() {
    let before = blocked_signals();
    let (tell, told) = std::sync::mpsc::channel();
    let thread =
        spawn_without_signals("test", move || tell.send(blocked_signals()).unwrap()).unwrap();
    let blocked = told.recv().unwrap();
    thread.join().unwrap();
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGTTIN, libc::SIGUSR1, libc::SIGALRM] {
        assert!(blocked.contains(&signal), "{signal}");
    }
    assert_eq!(blocked_signals(), before);
}

#[test]
fn a_signal_ends_a_wait() {
    extern "C" fn nothing(_: c_int) {}
    let handler: extern "C" fn(c_int) = nothing;
    // SAFETY: the handler does nothing; without SA_RESTART it interrupts system calls.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = handler as usize;
        libc::sigaction(libc::SIGTTIN, &action, ptr::null_mut());
    }
    let context = Context::new().unwrap();
    let socket = context.socket(zmq_sys::ZMQ_PULL).unwrap();
    // SAFETY: no preconditions.
    let waiting = unsafe { libc::pthread_self() };
    let signaller = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        // SAFETY: the thread is alive, for it joins this one.
        unsafe { libc::pthread_kill(waiting, libc::SIGTTIN) };
    });
    let start = Instant::now();
    let result = wait(&mut [Awaited::message(&socket)], 10_000);
    assert!(result.is_err_and(Errno::is_interrupted));
    assert!(start.elapsed() < Duration::from_secs(5));
    signaller.join().unwrap();
}

#[test]
fn errnos_are_sentences() {
    for (errno, text) in [
        (libc::ENETUNREACH, "Network is unreachable"),
        (libc::ENOTDIR, "Not a directory"),
        (zmq_sys::ZMQ_HAUSNUMERO as i32 + 53, "Context was terminated"),
        (zmq_sys::ZMQ_HAUSNUMERO as i32 + 52, "The protocol is not compatible"),
    ] {
        let sentence = Errno(errno).to_string();
        assert!(sentence.starts_with(text), "{sentence}");
    }
    assert!(!Errno(i32::MAX).to_string().is_empty());
}

#[test]
fn text_for_libzmq_has_no_nul() {
    let socket = Context::new().unwrap().socket(zmq_sys::ZMQ_PULL).unwrap();
    assert_eq!(socket.bind("tcp://127.0.0.1:*\0"), Err(Errno(libc::EINVAL)));
    assert_eq!(socket.connect("\0"), Err(Errno(libc::EINVAL)));
    assert_eq!(public_of(&[b'0'; z85::KEY_CHARACTERS + 1]), Err(Errno(libc::EINVAL)));
}

#[test]
fn descriptors_that_are_no_connection_have_no_peer() {
    let file = std::fs::File::open("/dev/null").unwrap();
    for fd in [-1, 1_000_000, file.as_raw_fd()] {
        assert_eq!(peer_of(fd), None);
    }
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(listener) = std::net::TcpListener::bind(address) else {
            continue;
        };
        let target = listener.local_addr().unwrap();
        let stream = std::net::TcpStream::connect(target).unwrap();
        assert_eq!(peer_of(stream.as_raw_fd()), Some(target));
    }
}
