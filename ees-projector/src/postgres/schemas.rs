//! Swaps schemas, and finds what leans on one.

use sqlx::AssertSqlSafe;

use super::Tx;
use super::sql::quoted;
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
        let attachments = self.attachments_of(live, standby, back).await?;
        if back {
            self.detach_what_both_have(live, standby).await?;
        }
        self.attach_to(standby, &attachments).await?;
        let swap = format!("{live}__swap");
        for (from, to) in [(live, swap.as_str()), (standby, live), (swap.as_str(), standby)] {
            let rename = format!("ALTER SCHEMA {} RENAME TO {}", quoted(from), quoted(to));
            sqlx::raw_sql(AssertSqlSafe(rename)).execute(self.inner()).await?;
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

    /// Locks the tables of a schema against new objects that would lean on them. Those of roles whose rights
    /// this one does not have can't be locked; [`not_made_by_projection`](Self::not_made_by_projection)
    /// names them.
    pub(super) async fn lock_tables(&mut self, schema: &str) -> Result<(), BoxError> {
        let tables: Option<String> = sqlx::query_scalar(
            "SELECT string_agg(format('%I.%I', $1, c.relname), ', ' ORDER BY c.oid) FROM pg_class c
             WHERE c.relnamespace = to_regnamespace(quote_ident($1)) AND c.relkind IN ('r', 'p')
                AND pg_has_role(c.relowner, 'USAGE')",
        )
        .bind(schema)
        .fetch_one(self.inner())
        .await?;
        if let Some(tables) = tables {
            let lock = format!("LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE");
            sqlx::raw_sql(AssertSqlSafe(lock)).execute(self.inner()).await?;
        }
        Ok(())
    }

    /// The tables, views, sequences, functions and types in a schema that are not among `own`, and those of
    /// roles whose rights this one does not have. Partitions and sequences that belong to a table in the
    /// schema, and members of extensions, don't count. Without `own` it is not known what the projection made.
    pub(super) async fn not_made_by_projection(
        &mut self,
        schema: &str,
        own: Option<&[String]>,
    ) -> Result<Vec<String>, BoxError> {
        // The arguments of functions are named without the schema, which a swap renames.
        self.search(schema).await?;
        let others = sqlx::query_scalar(
            "WITH object AS (
                SELECT 'pg_class'::regclass AS class, c.oid, c.relowner AS owner, c.relnamespace AS schema,
                    format('%s %I', CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
                        WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'type' ELSE 'table' END,
                        c.relname) AS name
                FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
                    AND NOT (c.relispartition AND EXISTS (SELECT FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent
                        WHERE i.inhrelid = c.oid AND p.relnamespace = c.relnamespace))
                    AND NOT (c.relkind = 'S' AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                        AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')))
                UNION ALL
                SELECT 'pg_proc'::regclass, p.oid, p.proowner, p.pronamespace,
                    format('function %I(%s)', p.proname, pg_get_function_identity_arguments(p.oid)) FROM pg_proc p
                WHERE p.pronamespace = to_regnamespace(quote_ident($1))
                UNION ALL
                SELECT 'pg_type'::regclass, t.oid, t.typowner, t.typnamespace, format('type %I', t.typname)
                FROM pg_type t WHERE t.typtype IN ('d', 'e', 'r') OR (t.typtype = 'b' AND t.typelem = 0)
             )
             SELECT name FROM object o
             WHERE schema = to_regnamespace(quote_ident($1))
                AND (name <> ALL ($2) OR NOT pg_has_role(owner, 'USAGE'))
                AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e')
             ORDER BY 1",
        );
        Ok(others.bind(schema).bind(own).fetch_all(self.inner()).await?)
    }

    /// Everything that would be dropped together with the schema, but is not in it: views, functions, columns
    /// and constraints of other tables, memberships in publications, and whatever else PostgreSQL knows to
    /// depend on an object of the schema.
    pub(super) async fn dependents(&mut self, schema: &str) -> Result<Vec<String>, BoxError> {
        let dependents = sqlx::query_scalar(
            "WITH RECURSIVE tree (class, object, part, own) AS (
                SELECT 'pg_namespace'::regclass::oid, n.oid, 0, true FROM pg_namespace n WHERE n.nspname = $1
                UNION
                SELECT d.classid, coalesce(r.ev_class, d.objid), d.objsubid, o.own
                FROM tree t
                JOIN pg_depend d ON t.own AND d.refclassid = t.class AND d.refobjid = t.object
                LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid,
                LATERAL (SELECT CASE d.classid
                    WHEN 'pg_class'::regclass THEN d.objid
                    WHEN 'pg_rewrite'::regclass THEN r.ev_class
                    WHEN 'pg_trigger'::regclass THEN (SELECT g.tgrelid FROM pg_trigger g WHERE g.oid = d.objid)
                    WHEN 'pg_policy'::regclass THEN (SELECT p.polrelid FROM pg_policy p WHERE p.oid = d.objid)
                    WHEN 'pg_attrdef'::regclass THEN (SELECT a.adrelid FROM pg_attrdef a WHERE a.oid = d.objid)
                END AS oid) relation,
                LATERAL (SELECT CASE
                    WHEN d.deptype = 'i' OR d.classid = 'pg_default_acl'::regclass THEN true
                    WHEN relation.oid IS NOT NULL THEN EXISTS (SELECT FROM pg_class c JOIN pg_namespace n
                        ON n.oid = c.relnamespace WHERE c.oid = relation.oid AND n.nspname IN ($1, 'pg_toast'))
                    ELSE coalesce((SELECT i.schema = quote_ident($1)
                        FROM pg_identify_object(d.classid, d.objid, 0) i), false)
                END AS own) o
             )
             SELECT DISTINCT format('%s %s', i.type, i.identity)
             FROM tree t, LATERAL pg_identify_object(
                CASE t.class WHEN 'pg_rewrite'::regclass THEN 'pg_class'::regclass::oid ELSE t.class END, t.object, t.part) i
             WHERE NOT t.own AND i.identity IS NOT NULL AND NOT EXISTS (SELECT FROM tree o
                WHERE o.own AND o.class = t.class AND o.object = t.object)
             ORDER BY 1",
        );
        Ok(dependents.bind(schema).fetch_all(self.inner()).await?)
    }
}
