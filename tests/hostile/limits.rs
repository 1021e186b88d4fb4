//! More connections than there may be, and than rsyslogd may have files.

use std::fs;

use harness::{alone, secs};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::{Attack, CEILING, Ground, Keys, print, sending};

/// The files that the receiver may have open from now on; answers what the limit was.
pub(super) fn limit_files(ground: &Ground, most: Option<u64>) -> Option<u64> {
    let pid = Pid::from_raw(ground.receiver.pid() as i32);
    let limit = Rlimit { current: most, ..getrlimit(Resource::Nofile) };
    prlimit(pid, Resource::Nofile, limit).expect("the limit of a child").current
}

fn open_files(ground: &Ground) -> usize {
    let folder = format!("/proc/{}/fd", ground.receiver.pid());
    fs::read_dir(folder).expect("its descriptors").count()
}

/// Attacks with this many connections that say nothing. Those who are there send on; rsyslogd's own
/// files can be opened meanwhile; when it is over, somebody new is let in.
fn more_than_enough(connections: usize, files: u64, told: &str) -> usize {
    let _alone = alone();
    // On a slow machine too, they are all there before the first has had its time; and none waits because those
    // before it were closed.
    let mut ground = Ground::with("handshakeivl=\"9000\" maxfailuresperaddress=\"0\"");
    limit_files(&ground, Some(files));
    let before = ground.memory();
    let many = connections.to_string();
    let options = ["--total", &many, "--at-once", &many];
    let Some(mut attack) = Attack::start(&ground, "half-open", &options) else { return 0 };
    ground.receiver.wait_log(&["imrzmq[", "closed a connection from", told], secs(30));
    let mut most = 0;
    while !attack.is_over() {
        most = most.max(open_files(&ground));
        // impstats opens its file each second; with HUP omfile opens its own anew
        if files > 256 {
            ground.receiver.hup();
        }
        ground.send(200);
    }
    let did = attack.done();
    let refused = |c: &harness::stats::Counters| c["connections_refused"] >= 1;
    let acked = ground.receiver.wait_stats("imrzmq", "acked", "too many", refused);
    let plain = ground.receiver.wait_stats("imrzmq", "plain", "too many", refused);
    let refused = acked["connections_refused"] + plain["connections_refused"];
    let newcomer = Keys::new("newcomer");
    newcomer.write_public(&ground.receiving.path("allowed"));
    let mut sender = sending(&ground.endpoints, &ground.server, &newcomer).start();
    sender.feed(ground.fed..ground.fed + 100);
    ground.arrive(100);
    ground.send(100);
    ground.judge();
    let grown = ground.peak().saturating_sub(before);
    print(&format!(
        "| {did}, {files} files | connections_refused {refused} | grew {grown} KiB | {most} files open |"
    ));
    assert!(grown < CEILING, "the receiver grew by {grown} KiB");
    sender.stop().clean();
    ground.end();
    most
}

#[test]
fn two_thousand_and_more_connections() {
    more_than_enough(3_600, 8_192, "as many as maxconnections allows");
}

#[test]
fn more_connections_than_files() {
    let most = more_than_enough(2_000, 1_024, "limit of open files");
    assert!(most < 1_024, "{most} files were open: none was left for rsyslogd");
}

/// libzmq accepts some before they can be closed. Where so few files are left, rsyslogd may find none for
/// a moment, and bears it; what it then opens, as omfile does after HUP, may fail.
#[test]
fn many_more_connections_than_files() {
    more_than_enough(1_000, 256, "limit of open files");
}
