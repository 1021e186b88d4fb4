//! The command line `rzlog`, as people and scripts use it, against real rsyslogd.

mod alert;
mod check;
mod configuration;
mod examples;
mod gaps;
mod hostile;
mod keys;
mod library;
mod metrics;
mod metrics_http;
mod migrate;
mod pages;
mod publisher;
mod send;
mod tail;
mod top;
mod units;
mod webhook;
