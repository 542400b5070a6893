//! What was acknowledged is there: against the real program, over real
//! sockets, with `kill -9`, full disks and damaged files.

mod backups;
mod check;
mod crash;
mod crash_resume;
mod damage;
mod everyday;
mod held;
mod logic;
mod noex;
mod numbers;
mod once;
mod place;
mod presence;
mod restart;
mod resume;
mod room;
mod rules;
mod slow;
mod starts;
mod support;
