//! Power cuts, kills, full and failing disks, damage, and long loads.

mod damage;
mod disk;
mod kills;
mod power;
mod soak;
mod sync_order;
