//! `kluster` as a process: started, asked, stopped, killed and started again, as people and machines do it.
#![cfg(test)]

mod addresses;
mod demo;
mod disk;
mod front_door;
mod kills;
mod kluster;
mod load;
mod nodes;
mod starts;
