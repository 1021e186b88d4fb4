# A profile for rsyslogd as a distribution might have it, for tests/machine/cases: Debian has none. It has the rights that
# Ubuntu's gives (release 24.04, by its published text), and takes in the rules of other packages and of the administrator
# as that does.
include <tunables/global>

profile rsyslogd /usr/sbin/rsyslogd {
  include <abstractions/base>
  include <abstractions/nameservice>

  capability dac_override,
  capability dac_read_search,
  capability setgid,
  capability setuid,
  capability sys_nice,
  capability sys_tty_config,
  capability syslog,

  # the daemon, its modules, its settings, its work directory
  /usr/sbin/rsyslogd mr,
  /usr/lib/@{multiarch}/rsyslog/*.so mr,
  /etc/rsyslog.conf r,
  /etc/rsyslog.d/{,**} r,
  /var/spool/rsyslog/{,**} rwk,

  # where lines come from and go to
  unix (receive) type=dgram,
  unix (receive) type=stream,
  @{PROC}/kmsg r,
  /dev/log rwl,
  /dev/{console,tty*,xconsole} rw,
  /var/log/** rw,
  @{run}/systemd/notify w,
  @{run}/systemd/sessions/{,*} r,
  @{run}/log/journal/ r,
  @{run}/utmp rk,
  /etc/machine-id r,
  @{PROC}/sys/net/ipv6/conf/all/disable_ipv6 r,

  include if exists <rsyslog.d>
  include if exists <local/usr.sbin.rsyslogd>
}
