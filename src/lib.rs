//! teawire tells tea buyers and sellers what just changed.
//!
//! # The floor plan
//!
//! The modules stand below in building order, the ground first. A module may
//! use the modules named before it and no other; `tests/it/floors.rs` reads
//! this file and holds every `crate::` path to that.

// The ground: time, databases, the manners of HTTP, work in the background.

pub mod clock;

pub mod refusal;

pub mod names;

pub mod money;

pub mod memory;

pub mod tasks;

pub mod telemetry;

pub mod db;

pub mod http;

pub mod handover;

pub mod limits;

pub mod auth;

// The event log, and everyone who reads it.

pub mod events;

pub mod transports;

pub mod feeds;

pub mod writes;

// The trade, one module for each subject.

pub mod catalogue;

pub mod cadence;

pub mod prices;

pub mod markets;

pub mod clearance;

pub mod stock;

pub mod reservations;

pub mod listings;

pub mod import;

pub mod export;

pub mod rooms;

// The user: what they are told.

pub mod notifications;

pub mod alerts;

// The roof: everything is put together here.

pub mod ops;

pub mod dashboard;

pub mod openapi;

pub mod config;

pub mod server;

pub mod app;

pub mod demo;

pub mod cli;
