//! Swaps schemas, and copies the rights on their tables.

use sqlx::AssertSqlSafe;

use super::Tx;
use super::sql::quoted;
use crate::database::Grant;
use crate::error::BoxError;

impl Tx {
    /// Renaming a schema locks no table. Readers resolve a name when they plan, and plan again after a
    /// rename, so they always find one of the two schemas.
    pub(super) async fn swap_schemas(
        &mut self,
        live: &str,
        standby: &str,
        back: bool,
    ) -> Result<(), BoxError> {
        let rights = self.grants_of(live, standby).await?;
        if back {
            self.revoke_what_both_have(live, standby).await?;
        }
        self.grant_again(&rights).await?;
        let swap = format!("{live}__swap");
        for (from, to) in [(live, swap.as_str()), (standby, live), (swap.as_str(), standby)] {
            let rename = format!("ALTER SCHEMA {} RENAME TO {}", quoted(from), quoted(to));
            sqlx::raw_sql(AssertSqlSafe(rename)).execute(self.inner()).await?;
        }
        Ok(())
    }

    /// Revokes the rights in `standby` on everything that `live` has too.
    async fn revoke_what_both_have(&mut self, live: &str, standby: &str) -> Result<(), BoxError> {
        let revokes: Vec<String> = sqlx::query_scalar(
            "SELECT format('REVOKE ALL ON SCHEMA %I FROM %s', n.nspname,
                    CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
             FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = $2 AND a.grantee <> n.nspowner
             UNION
             SELECT format('REVOKE ALL ON %s %I.%I FROM %s', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                    n.nspname, c.relname,
                    CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
                LATERAL (SELECT grantee FROM aclexplode(c.relacl) UNION
                    SELECT x.grantee FROM pg_attribute t, aclexplode(t.attacl) x WHERE t.attrelid = c.oid) a
             WHERE n.nspname = $2 AND a.grantee <> c.relowner AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
                AND EXISTS (SELECT 1 FROM pg_class o JOIN pg_namespace s ON s.oid = o.relnamespace
                    WHERE s.nspname = $1 AND o.relname = c.relname AND o.relkind = c.relkind)",
        )
        .bind(live)
        .bind(standby)
        .fetch_all(self.inner())
        .await?;
        for revoke in revokes {
            sqlx::raw_sql(AssertSqlSafe(format!("{revoke} CASCADE"))).execute(self.inner()).await?;
        }
        Ok(())
    }

    pub(super) async fn swap_parked(&mut self, live: &str, standby: &str) -> Result<(), BoxError> {
        for table in ["ees.parked_changesets", "ees.parked_streams"] {
            let rename = format!("UPDATE {table} SET projection = $2 WHERE projection = $1");
            let swap = format!("{live}__swap");
            for (from, to) in [(live, swap.as_str()), (standby, live), (swap.as_str(), standby)] {
                let rename = AssertSqlSafe(rename.clone());
                sqlx::query(rename).bind(from).bind(to).execute(self.inner()).await?;
            }
        }
        Ok(())
    }

    /// Views and foreign keys in other schemas that depend on this schema and would be dropped with it.
    pub(super) async fn dependents(&mut self, schema: &str) -> Result<Vec<String>, BoxError> {
        let dependents = sqlx::query_scalar(
            "SELECT DISTINCT format('%I.%I', their.nspname, v.relname)
             FROM pg_depend d
             JOIN pg_class c ON d.refclassid = 'pg_class'::regclass AND c.oid = d.refobjid
             JOIN pg_namespace ours ON ours.oid = c.relnamespace
             JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
             JOIN pg_class v ON v.oid = r.ev_class
             JOIN pg_namespace their ON their.oid = v.relnamespace
             WHERE ours.nspname = $1 AND their.oid <> ours.oid
             UNION
             SELECT DISTINCT format('the foreign key %I of %s', k.conname, k.conrelid::regclass)
             FROM pg_constraint k
             JOIN pg_class c ON c.oid = k.confrelid JOIN pg_namespace ours ON ours.oid = c.relnamespace
             JOIN pg_class t ON t.oid = k.conrelid
             WHERE k.contype = 'f' AND ours.nspname = $1 AND t.relnamespace <> ours.oid",
        );
        Ok(dependents.bind(schema).fetch_all(self.inner()).await?)
    }

    /// The rights on a schema and on its tables.
    pub(super) async fn grants_in(&mut self, schema: &str) -> Result<Vec<Grant>, BoxError> {
        self.grants_of(schema, schema).await
    }

    /// The rights in one schema, as statements that grant them in another.
    async fn grants_of(&mut self, from: &str, to: &str) -> Result<Vec<Grant>, BoxError> {
        let grants: Vec<(String, String)> = sqlx::query_as(
            "SELECT $2 AS relation, format('GRANT %s ON SCHEMA %s TO %s', a.privilege_type, $2,
                    CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
                    || CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
             FROM pg_namespace n, aclexplode(n.nspacl) a
             WHERE n.nspname = $1 AND a.grantee <> n.nspowner
             UNION ALL
             SELECT format('%s.%I', $2, c.relname),
                    format('GRANT %s ON %s %s.%I TO %s', a.privilege_type,
                        CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, $2, c.relname,
                        CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
                    || CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a
             WHERE n.nspname = $1 AND a.grantee <> c.relowner AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
             UNION ALL
             SELECT format('%s.%I', $2, c.relname),
                    format('GRANT %s (%I) ON TABLE %s.%I TO %s', a.privilege_type, t.attname, $2, c.relname,
                        CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
                    || CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
             FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace,
                 aclexplode(t.attacl) a
             WHERE n.nspname = $1 AND a.grantee <> c.relowner AND NOT t.attisdropped
             UNION ALL
             SELECT $2, format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %s GRANT %s ON %s TO %s',
                    pg_get_userbyid(d.defaclrole), $2, a.privilege_type,
                    CASE d.defaclobjtype WHEN 'S' THEN 'SEQUENCES' ELSE 'TABLES' END,
                    CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
                    || CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
             FROM pg_default_acl d JOIN pg_namespace n ON n.oid = d.defaclnamespace, aclexplode(d.defaclacl) a
             WHERE n.nspname = $1 AND d.defaclobjtype IN ('r', 'S') AND pg_has_role(d.defaclrole, 'MEMBER')",
        )
        .bind(from)
        .bind(quoted(to))
        .fetch_all(self.inner())
        .await?;
        Ok(grants.into_iter().map(|(table, statement)| Grant { table, statement }).collect())
    }

    /// Grants rights again. Leaves out tables that no longer exist.
    pub(super) async fn grant_again(&mut self, grants: &[Grant]) -> Result<(), BoxError> {
        for Grant { table, statement } in grants {
            let there: bool =
                sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL OR to_regnamespace($1) IS NOT NULL")
                    .bind(table)
                    .fetch_one(self.inner())
                    .await?;
            if there {
                sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(self.inner()).await?;
            }
        }
        Ok(())
    }
}
