//! Durability: power cuts, kills, full and failing disks, damaged files, and long loads.

mod damage;
mod disk;
mod kills;
mod power;
mod soak;
mod sync_order;
