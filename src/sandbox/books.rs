//! The four systems side by side, as somebody reaches them.

use super::book::{Book, Manner};
use super::database::Database;
use super::record::{Content, Entity, System};

/// All systems. Store and CRM are reached from inside by those who work there, and over HTTP by the sync job.
#[derive(Clone)]
pub struct Books<Store, Crm> {
    /// The ERP.
    pub erp: Database,
    /// The warehouse.
    pub warehouse: Database,
    /// The store.
    pub store: Store,
    /// The CRM.
    pub crm: Crm,
}

impl<Store: Book, Crm: Book> Books<Store, Crm> {
    /// All records of the key in one system.
    ///
    /// # Errors
    /// When the system cannot be read.
    pub async fn read(&self, system: System, entity: Entity, key: &str) -> anyhow::Result<Vec<Content>> {
        match system {
            System::Erp => self.erp.read(entity, key).await,
            System::Warehouse => self.warehouse.read(entity, key).await,
            System::Store => self.store.read(entity, key).await,
            System::Crm => self.crm.read(entity, key).await,
        }
    }

    /// Makes one system hold exactly `contents` under the key.
    ///
    /// # Errors
    /// When the system refuses or cannot be reached.
    pub async fn write(
        &self,
        system: System,
        entity: Entity,
        key: &str,
        contents: &[Content],
        manner: Manner,
    ) -> anyhow::Result<()> {
        match system {
            System::Erp => self.erp.write(entity, key, contents, manner).await,
            System::Warehouse => self.warehouse.write(entity, key, contents, manner).await,
            System::Store => self.store.write(entity, key, contents, manner).await,
            System::Crm => self.crm.write(entity, key, contents, manner).await,
        }
    }
}
