//! What others attach to a read model's schema and tables, and how it gets to the tables that take their
//! place: rights, comments, policies, statistics targets, storage parameters, replica identities and
//! memberships in publications. And what they add to the tables, which is made again when the tables are:
//! indexes, constraints, triggers, rules, statistics, defaults, NOT NULL and owners.

use std::collections::HashSet;

use sqlx::{AssertSqlSafe, Row};

use super::Tx;
use super::rows::FILL_FACTOR;
use super::sql::quoted;
use crate::database::{Addition, Attachment, Attachments, is_part_of};
use crate::error::{BoxError, chain};

/// Selects the condition and the statement of each attachment of the schema `$1`, for the schema with the
/// quoted name `$2`. `$3` replaces what the other schema has of its own, `$4` is
/// the storage parameter that every table of a fold has, `$5` is whether the schemas are two.
const ATTACHMENTS: &str = "
    WITH relation AS (
        SELECT c.*, format('%s.%I', $2, c.relname) AS target,
            format('to_regclass(%L)', format('%s.%I', $2, c.relname)) AS found,
            CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                WHEN 'i' THEN 'INDEX' WHEN 'I' THEN 'INDEX' ELSE 'TABLE' END AS kind
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'i', 'I')
    ), attribute AS (
        SELECT a.*, r.target, r.found, r.relowner, format(
            'EXISTS (SELECT FROM pg_attribute WHERE attrelid = %s AND attname = %L AND NOT attisdropped AND ',
            r.found, a.attname) AS held
        FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid
        WHERE r.relkind IN ('r', 'p', 'v', 'm') AND a.attnum > 0 AND NOT a.attisdropped
    ), granted AS (
        SELECT 10 AS place, 'true' AS condition, 'SCHEMA ' || $2 AS what, '' AS part, a.*
        FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = $1 AND a.grantee <> n.nspowner
        UNION ALL
        SELECT 11, r.found || ' IS NOT NULL', CASE r.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || r.target, '', a.*
        FROM relation r, aclexplode(r.relacl) a WHERE a.grantee <> r.relowner
        UNION ALL
        SELECT 11, t.held || 'true)', 'TABLE ' || t.target, format(' (%I)', t.attname), a.*
        FROM attribute t, aclexplode(t.attacl) a WHERE a.grantee <> t.relowner
    )
    SELECT place, condition, format('GRANT %s%s ON %s TO %s%s', privilege_type, part, what,
        CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
        CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) AS statement
    FROM granted
    UNION ALL
    SELECT 12, 'true', format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %s GRANT %s ON %s TO %s',
            pg_get_userbyid(d.defaclrole), $2, a.privilege_type,
            CASE d.defaclobjtype WHEN 'S' THEN 'SEQUENCES' ELSE 'TABLES' END,
            CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
            || CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
    FROM pg_default_acl d JOIN pg_namespace n ON n.oid = d.defaclnamespace, aclexplode(d.defaclacl) a
    WHERE n.nspname = $1 AND d.defaclobjtype IN ('r', 'S') AND pg_has_role(d.defaclrole, 'USAGE')
    UNION ALL
    SELECT 20, format('(%1$s OR obj_description(to_regnamespace(%2$L), ''pg_namespace'') IS NULL)
            AND obj_description(to_regnamespace(%2$L), ''pg_namespace'') IS DISTINCT FROM %3$L',
            $3::text, $2, obj_description(n.oid, 'pg_namespace')),
        format('COMMENT ON SCHEMA %s IS %L', $2, obj_description(n.oid, 'pg_namespace'))
    FROM pg_namespace n WHERE n.nspname = $1 AND obj_description(n.oid, 'pg_namespace') IS NOT NULL
    UNION ALL
    SELECT 21, format('%1$s IS NOT NULL AND (%2$s OR obj_description(%1$s, ''pg_class'') IS NULL)
            AND obj_description(%1$s, ''pg_class'') IS DISTINCT FROM %3$L', found, $3::text, obj_description(oid, 'pg_class')),
        format('COMMENT ON %s %s IS %L', kind, target, obj_description(oid, 'pg_class'))
    FROM relation WHERE obj_description(oid, 'pg_class') IS NOT NULL
    UNION ALL
    SELECT 22, format('%s(%s OR col_description(attrelid, attnum) IS NULL)
            AND col_description(attrelid, attnum) IS DISTINCT FROM %L)', held, $3::text, col_description(attrelid, attnum)),
        format('COMMENT ON COLUMN %s.%I IS %L', target, attname, col_description(attrelid, attnum))
    FROM attribute WHERE col_description(attrelid, attnum) IS NOT NULL
    UNION ALL
    SELECT 30, format('(SELECT %s FROM pg_class WHERE oid = %s)', differs, found),
        format('ALTER TABLE %s %s ROW LEVEL SECURITY', target, change)
    FROM relation, LATERAL (VALUES ('ENABLE', 'NOT relrowsecurity', relrowsecurity),
        ('FORCE', 'NOT relforcerowsecurity', relforcerowsecurity),
        ('DISABLE', 'relrowsecurity', $3 AND NOT relrowsecurity),
        ('NO FORCE', 'relforcerowsecurity', $3 AND NOT relforcerowsecurity)) changes (change, differs, wanted)
    WHERE relkind IN ('r', 'p') AND wanted
    UNION ALL
    SELECT 31, format('%s IS NOT NULL AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = %1$s AND polname = %L)',
            r.found, p.polname),
        format('CREATE POLICY %I ON %s AS %s FOR %s TO %s', p.polname, r.target,
            CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
            CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
                WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
            (SELECT string_agg(CASE role WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(role)) END, ', ')
                FROM unnest(p.polroles) role))
            || coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
            || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '')
    FROM relation r JOIN pg_policy p ON p.polrelid = r.oid
    UNION ALL
    SELECT 40, format('%s(%s OR coalesce(attstattarget, -1) < 0) AND attstattarget IS DISTINCT FROM %s)',
            held, $3::text, attstattarget),
        format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS %s', target, attname, attstattarget)
    FROM attribute WHERE attstattarget >= 0
    UNION ALL
    SELECT 41, format('%s(%s OR attoptions IS NULL) AND attoptions IS DISTINCT FROM %L)', held, $3::text, attoptions),
        format('ALTER TABLE %s ALTER COLUMN %I SET (%s)', target, attname, array_to_string(attoptions, ', '))
    FROM attribute WHERE attoptions IS NOT NULL
    UNION ALL
    SELECT 42, format('EXISTS (SELECT FROM pg_class c WHERE c.oid = %s AND %L <> ALL (coalesce(c.reloptions, ''{}''))
            AND (%s OR NOT EXISTS (SELECT FROM unnest(c.reloptions) has WHERE starts_with(has, %L) AND has <> %L)))',
            found, given, $3::text, split_part(given, '=', 1) || '=', $4),
        format('ALTER %s %s SET (%I = %L)', kind, target, split_part(given, '=', 1), substr(given, strpos(given, '=') + 1))
    FROM relation, unnest(reloptions) given WHERE relkind IN ('r', 'p', 'm', 'i', 'I') AND given <> $4
    UNION ALL
    SELECT 43, format('EXISTS (SELECT FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid
            WHERE c.oid = %s AND %L <> ALL (coalesce(t.reloptions, ''{}'')))', r.found, given),
        format('ALTER TABLE %s SET (toast.%I = %L)', r.target,
            split_part(given, '=', 1), substr(given, strpos(given, '=') + 1))
    FROM relation r JOIN pg_class t ON t.oid = r.reltoastrelid, unnest(t.reloptions) given
    UNION ALL
    SELECT 44, format('EXISTS (SELECT FROM pg_class c WHERE c.oid = %s AND (%s OR relreplident = ''d'')
            AND ', r.found, $3::text) || CASE WHEN i.oid IS NULL THEN format('relreplident <> %L)', r.relreplident)
                ELSE format('NOT EXISTS (SELECT FROM pg_index x WHERE x.indrelid = c.oid AND x.indisreplident
                    AND x.indexrelid = to_regclass(%1$L))) AND to_regclass(%1$L) IS NOT NULL', format('%s.%I', $2, i.relname)) END,
        format('ALTER TABLE %s REPLICA IDENTITY ', r.target) || CASE r.relreplident WHEN 'f' THEN 'FULL'
            WHEN 'n' THEN 'NOTHING' ELSE format('USING INDEX %I', i.relname) END
    FROM relation r
    LEFT JOIN pg_index x ON x.indrelid = r.oid AND x.indisreplident AND r.relreplident = 'i'
    LEFT JOIN pg_class i ON i.oid = x.indexrelid
    WHERE r.relkind IN ('r', 'p') AND r.relreplident <> 'd' AND (r.relreplident <> 'i' OR i.oid IS NOT NULL)
    UNION ALL
    SELECT 50, format('%s IS NOT NULL', r.found), format('ALTER PUBLICATION %I DROP TABLE %I.%I', p.pubname, $1, r.relname)
    FROM pg_publication p JOIN pg_publication_rel m ON m.prpubid = p.oid JOIN relation r ON r.oid = m.prrelid
    WHERE pg_has_role(p.pubowner, 'USAGE') AND $5
    UNION ALL
    SELECT 51, format('%s IS NOT NULL AND NOT EXISTS (SELECT FROM pg_publication_rel m JOIN pg_publication p
            ON p.oid = m.prpubid WHERE m.prrelid = %1$s AND p.pubname = %L)', r.found, p.pubname),
        format('ALTER PUBLICATION %I ADD TABLE %s', p.pubname, r.target)
            || coalesce(' (' || (SELECT string_agg(quote_ident(a.attname), ', ') FROM unnest(m.prattrs::int2[]) number
                JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = number) || ')', '')
            || coalesce(' WHERE (' || pg_get_expr(m.prqual, m.prrelid) || ')', '')
    FROM pg_publication p JOIN pg_publication_rel m ON m.prpubid = p.oid JOIN relation r ON r.oid = m.prrelid
    WHERE pg_has_role(p.pubowner, 'USAGE')
    UNION ALL
    SELECT 52, 'true', format('ALTER PUBLICATION %I %s TABLES IN SCHEMA %s', p.pubname, change, place)
    FROM pg_publication p JOIN pg_publication_namespace m ON m.pnpubid = p.oid
    JOIN pg_namespace n ON n.oid = m.pnnspid,
        LATERAL (VALUES ('DROP', quote_ident($1)), ('ADD', $2)) changes (change, place)
    WHERE n.nspname = $1 AND $5 AND pg_has_role(p.pubowner, 'USAGE')
        AND (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
    ORDER BY 1, 3 DESC";

/// The beginnings of the names of properties. Those of a column or table that others made are not named: they
/// come and go with it.
const PROPERTIES: [&str; 3] = ["default of ", "NOT NULL of ", "owner of "];

/// Selects the name of everything in the schema `$1`, without the schema.
const OBJECTS: &str = "
    WITH relation AS (
        SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1
    )
    SELECT format('%s %I', CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
        WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' WHEN 'c' THEN 'type' WHEN 'f' THEN 'foreign table' ELSE 'table' END, relname)
    FROM relation WHERE relkind <> 't'
    UNION
    SELECT format('column %I.%I', r.relname, a.attname) FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid
    WHERE r.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT format('default of column %I.%I', r.relname, a.attname) FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid
    WHERE r.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND a.atthasdef AND a.attgenerated = ''
    UNION
    SELECT format('NOT NULL of column %I.%I', r.relname, a.attname) FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid
    WHERE r.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull
    UNION
    SELECT format('owner of table %I', r.relname) FROM relation r JOIN pg_namespace n ON n.oid = r.relnamespace
    WHERE r.relkind IN ('r', 'p') AND r.relowner <> n.nspowner
    UNION
    SELECT format('trigger %I of %I', t.tgname, r.relname) FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid
    WHERE NOT t.tgisinternal
    UNION
    SELECT format('rule %I of %I', w.rulename, r.relname) FROM relation r JOIN pg_rewrite w ON w.ev_class = r.oid
    WHERE w.rulename <> '_RETURN'
    UNION
    SELECT format('constraint %I of %I', k.conname, r.relname) FROM relation r JOIN pg_constraint k ON k.conrelid = r.oid
    WHERE k.contype IN ('c', 'f')
    UNION
    SELECT format('statistics %I', s.stxname) FROM pg_statistic_ext s JOIN relation r ON r.oid = s.stxrelid
    UNION
    SELECT format('function %I(%s)', p.proname, pg_get_function_identity_arguments(p.oid))
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = $1
    UNION
    SELECT format('type %I', t.typname) FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE n.nspname = $1 AND t.typtype IN ('d', 'e', 'r')
    UNION
    SELECT format('the place in publication %I, which belongs to %I', p.pubname, pg_get_userbyid(p.pubowner))
    FROM pg_publication p JOIN pg_publication_rel m ON m.prpubid = p.oid JOIN relation r ON r.oid = m.prrelid
    WHERE NOT pg_has_role(p.pubowner, 'USAGE')
    UNION
    SELECT format('the place in publication %I, for which a superuser is needed', p.pubname)
    FROM pg_publication p JOIN pg_publication_namespace m ON m.pnpubid = p.oid
    JOIN pg_namespace n ON n.oid = m.pnnspid
    WHERE n.nspname = $1 AND NOT (pg_has_role(p.pubowner, 'USAGE')
        AND (SELECT rolsuper FROM pg_roles WHERE rolname = current_user))
    ORDER BY 1";

/// Selects the name, the statement and the needs of each constraint, index, statistics object, rule, trigger,
/// default, NOT NULL and owner of the tables in the schema `$1`, in the order in which they can be made.
const ADDITIONS: &str = "
    WITH relation AS (
        SELECT c.oid, c.relname, c.relowner, n.nspowner, format('%I.%I', $1::text, c.relname) AS target,
            ARRAY(SELECT format('column %I.%I', c.relname, a.attname) FROM pg_attribute a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    )
    SELECT CASE k.contype WHEN 'c' THEN 3 WHEN 'f' THEN 4 ELSE 1 END AS place,
        CASE WHEN k.contype IN ('c', 'f') THEN format('constraint %I of %I', k.conname, r.relname)
            ELSE format('index %I', k.conname) END AS name,
        format('ALTER TABLE %s ADD CONSTRAINT %I %s', r.target, k.conname, pg_get_constraintdef(k.oid)) AS statement,
        '{}'::text[] AS needs
    FROM relation r JOIN pg_constraint k ON k.conrelid = r.oid WHERE k.contype IN ('c', 'f', 'p', 'u', 'x')
    UNION ALL
    SELECT 2, format('index %I', i.relname), pg_get_indexdef(i.oid), '{}'
    FROM relation r JOIN pg_index x ON x.indrelid = r.oid JOIN pg_class i ON i.oid = x.indexrelid
    WHERE x.indisvalid AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.oid AND k.contype IN ('p', 'u', 'x'))
    UNION ALL
    SELECT 5, format('statistics %I', s.stxname), pg_get_statisticsobjdef(s.oid), '{}'
    FROM relation r JOIN pg_statistic_ext s ON s.stxrelid = r.oid
    UNION ALL
    SELECT 6, format('rule %I of %I', w.rulename, r.relname), pg_get_ruledef(w.oid) || CASE w.ev_enabled WHEN 'O' THEN ''
        ELSE format(' ALTER TABLE %s %s RULE %I', r.target, CASE w.ev_enabled WHEN 'D' THEN 'DISABLE'
            WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, w.rulename) END, r.columns
    FROM relation r JOIN pg_rewrite w ON w.ev_class = r.oid WHERE w.rulename <> '_RETURN'
    UNION ALL
    SELECT 7, format('trigger %I of %I', t.tgname, r.relname), pg_get_triggerdef(t.oid) || CASE t.tgenabled WHEN 'O' THEN ''
        ELSE format('; ALTER TABLE %s %s TRIGGER %I', r.target, CASE t.tgenabled WHEN 'D' THEN 'DISABLE'
            WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, t.tgname) END, r.columns
    FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid WHERE NOT t.tgisinternal
    UNION ALL
    SELECT 8, format('default of column %I.%I', r.relname, a.attname),
        format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT %s', r.target, a.attname, pg_get_expr(d.adbin, d.adrelid)), '{}'
    FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum
    WHERE NOT a.attisdropped AND a.attgenerated = ''
    UNION ALL
    SELECT 8, format('NOT NULL of column %I.%I', r.relname, a.attname),
        format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', r.target, a.attname), '{}'
    FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid
    WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull
    UNION ALL
    SELECT 9, format('owner of table %I', r.relname),
        format('ALTER TABLE %s OWNER TO %I', r.target, pg_get_userbyid(r.relowner)), '{}'
    FROM relation r WHERE r.relowner <> r.nspowner
    ORDER BY 1, 2";

/// Selects the names of the indexes and sequences that belong to the tables `$2` of the schema `$1`.
const PARTS: &str = "
    SELECT format('%s %I', CASE p.relkind WHEN 'S' THEN 'sequence' ELSE 'index' END, p.relname)
    FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace, LATERAL (
        SELECT x.indexrelid AS oid FROM pg_index x WHERE x.indrelid = t.oid
        UNION SELECT d.objid FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
            AND d.refobjid = t.oid AND d.deptype IN ('a', 'i')
    ) part JOIN pg_class p ON p.oid = part.oid AND p.relkind IN ('i', 'I', 'S')
    WHERE n.nspname = $1 AND quote_ident(t.relname) = ANY ($2)";

/// A table, the name of its policy, and the definition.
type Policy = (String, Option<String>, String);

impl Tx {
    /// What is attached to one schema and its tables, as statements that attach it to another.
    pub(super) async fn attachments_of(
        &mut self,
        from: &str,
        to: &str,
        replaces: bool,
    ) -> Result<Vec<Attachment>, BoxError> {
        // Expressions name the other tables of the read model without a schema.
        self.search(from).await?;
        let rows = sqlx::query(ATTACHMENTS).bind(from).bind(quoted(to)).bind(replaces);
        let rows =
            rows.bind(format!("fillfactor={FILL_FACTOR}")).bind(from != to).fetch_all(self.inner()).await?;
        rows.iter()
            .map(|row| Ok(Attachment { condition: row.try_get(1)?, statement: row.try_get(2)? }))
            .collect()
    }

    pub(super) async fn attach_to(
        &mut self,
        schema: &str,
        attachments: &[Attachment],
    ) -> Result<(), BoxError> {
        self.search(schema).await?;
        for Attachment { condition, statement } in attachments {
            let ask = AssertSqlSafe(format!("SELECT coalesce({condition}, false)"));
            // Each is asked once: no statement to keep.
            if sqlx::query_scalar(ask).persistent(false).fetch_one(self.inner()).await? {
                let attach = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(self.inner());
                attach.await.map_err(|error| failed(statement, error))?;
            }
        }
        Ok(())
    }

    /// What others attached to a schema's tables and added to them, before the tables are made again. `own`
    /// is what the projection made.
    pub(super) async fn attachments_in(
        &mut self,
        schema: &str,
        own: &[String],
    ) -> Result<Attachments, BoxError> {
        let statements = self.attachments_of(schema, schema, false).await?;
        let mut objects = self.objects_of_others_in(schema, own).await?;
        if !knows_parts(own) {
            return Ok(Attachments { statements, objects, ..Attachments::default() });
        }
        let additions = self.additions(schema, own).await?;
        let tables = objects.iter().filter_map(|object| object.strip_prefix("table ")).map(str::to_owned);
        let tables: Vec<String> = tables.collect();
        let parts: Vec<String> =
            sqlx::query_scalar(PARTS).bind(schema).bind(&tables).fetch_all(self.inner()).await?;
        objects.retain(|object| !is_part_of(object, &tables) && !parts.contains(object));
        Ok(Attachments { statements, additions, objects })
    }

    async fn additions(&mut self, schema: &str, own: &[String]) -> Result<Vec<Addition>, BoxError> {
        let rows = sqlx::query(ADDITIONS).bind(schema).fetch_all(self.inner()).await?;
        let all = rows.iter().map(|row| {
            Ok(Addition { name: row.try_get(1)?, statement: row.try_get(2)?, needs: row.try_get(3)? })
        });
        let mut additions = all.collect::<Result<Vec<_>, BoxError>>()?;
        additions.retain(|addition| !own.contains(&addition.name));
        Ok(additions)
    }

    /// Attaches again what others attached and added. Returns which of their objects are no longer there.
    pub(super) async fn attach_again(
        &mut self,
        schema: &str,
        attachments: &Attachments,
    ) -> Result<Vec<String>, BoxError> {
        let Attachments { statements, additions, objects } = attachments;
        let there = self.objects(schema).await?;
        let is_there = |name: &String| there.binary_search(name).is_ok();
        for addition in additions {
            if !is_there(&addition.name) && addition.needs.iter().all(is_there) {
                self.add(addition).await?;
            }
        }
        // Afterwards: an index may have storage parameters, and be a replica identity.
        self.attach_to(schema, statements).await?;
        let there = self.objects(schema).await?;
        Ok(objects.iter().filter(|object| there.binary_search(object).is_err()).cloned().collect())
    }

    /// Makes what others added. If the new table does not allow it, it is left out.
    async fn add(&mut self, addition: &Addition) -> Result<(), BoxError> {
        sqlx::raw_sql("SAVEPOINT addition").execute(self.inner()).await?;
        let add = sqlx::raw_sql(AssertSqlSafe(addition.statement.clone())).execute(self.inner()).await;
        match add {
            Ok(_) => {}
            Err(error) if super::error::passes(&error) => return Err(error.into()),
            Err(error) => {
                tracing::debug!(statement = addition.statement, %error, "can't be made again");
                sqlx::raw_sql("ROLLBACK TO SAVEPOINT addition").execute(self.inner()).await?;
            }
        }
        sqlx::raw_sql("RELEASE SAVEPOINT addition").execute(self.inner()).await?;
        Ok(())
    }

    /// What is in the schema `from` and not in the schema `to`, and was not made by the projection.
    pub(super) async fn objects_missing(
        &mut self,
        from: &str,
        own: &[String],
        to: &str,
    ) -> Result<Vec<String>, BoxError> {
        let (mut objects, there) = (self.objects_of_others_in(from, own).await?, self.objects(to).await?);
        objects.retain(|object| there.binary_search(object).is_err());
        Ok(objects)
    }

    /// The names of everything in the schema that the projection did not make, or of everything if that is
    /// not known; sorted.
    async fn objects_of_others_in(&mut self, schema: &str, own: &[String]) -> Result<Vec<String>, BoxError> {
        let mut objects = self.objects(schema).await?;
        if knows_parts(own) {
            objects.retain(|object| !own.contains(object));
            let theirs: HashSet<String> = objects.iter().cloned().collect();
            objects.retain(|object| {
                let of = PROPERTIES.iter().find_map(|property| object.strip_prefix(property));
                of.is_none_or(|of| !theirs.contains(of))
            });
        }
        Ok(objects)
    }

    /// The names of everything in the schema, sorted.
    pub(super) async fn objects(&mut self, schema: &str) -> Result<Vec<String>, BoxError> {
        let mut objects: Vec<String> =
            sqlx::query_scalar(OBJECTS).bind(schema).fetch_all(self.inner()).await?;
        objects.sort_unstable();
        Ok(objects)
    }

    /// Takes the rights in `standby` away from everything that `live` has too, and the policies that `live` does
    /// not have in the same form: to drop one waits for all readers of its table.
    pub(super) async fn detach_what_both_have(&mut self, live: &str, standby: &str) -> Result<(), BoxError> {
        let detach: Vec<String> = sqlx::query_scalar(
            "WITH common AS (
                SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
                    AND EXISTS (SELECT FROM pg_class o JOIN pg_namespace s ON s.oid = o.relnamespace
                        WHERE s.nspname = $1 AND o.relname = c.relname AND o.relkind = c.relkind)
             )
             SELECT format('REVOKE ALL ON SCHEMA %I FROM %s CASCADE', n.nspname,
                    CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
             FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = $2 AND a.grantee <> n.nspowner
             UNION
             SELECT format('REVOKE ALL ON %s %I.%I FROM %s CASCADE',
                    CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, $2, c.relname,
                    CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
             FROM common c,
                LATERAL (SELECT grantee FROM aclexplode(c.relacl) UNION
                    SELECT x.grantee FROM pg_attribute t, aclexplode(t.attacl) x WHERE t.attrelid = c.oid) a
             WHERE a.grantee <> c.relowner",
        )
        .bind(live)
        .bind(standby)
        .fetch_all(self.inner())
        .await?;
        for detach in detach {
            sqlx::raw_sql(AssertSqlSafe(detach)).execute(self.inner()).await?;
        }
        let wanted = self.policies(live).await?;
        let tables: HashSet<&String> = wanted.iter().map(|(table, ..)| table).collect();
        for policy in self.policies(standby).await? {
            let (table, Some(name), _) = &policy else { continue };
            if tables.contains(table) && !wanted.contains(&policy) {
                let table = format!("{}.{}", quoted(standby), quoted(table));
                let drop = format!("DROP POLICY {} ON {table}", quoted(name));
                sqlx::raw_sql(AssertSqlSafe(drop)).execute(self.inner()).await?;
            }
        }
        Ok(())
    }

    /// The tables in a schema with the name and the definition of each policy, or with `None` if they have none.
    async fn policies(&mut self, schema: &str) -> Result<HashSet<Policy>, BoxError> {
        // Expressions name the other tables of the read model without a schema.
        self.search(schema).await?;
        let policies = sqlx::query_as(
            "SELECT c.relname::text, p.polname::text, format('%s %s %s %L %L', p.polpermissive, p.polcmd, p.polroles,
                pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
             FROM pg_class c LEFT JOIN pg_policy p ON p.polrelid = c.oid
             WHERE c.relnamespace = to_regnamespace(quote_ident($1)) AND c.relkind IN ('r', 'p')",
        );
        let policies: Vec<Policy> = policies.bind(schema).fetch_all(self.inner()).await?;
        Ok(policies.into_iter().collect())
    }

    /// Sets the search path to a schema, and then `public`, until the transaction ends.
    pub(super) async fn search(&mut self, schema: &str) -> Result<(), BoxError> {
        let set = sqlx::query("SELECT set_config('search_path', $1, true)");
        set.bind(format!("{}, public", quoted(schema))).execute(self.inner()).await?;
        Ok(())
    }
}

/// Whether it was recorded which columns and indexes the projection made. Earlier versions of ees recorded
/// tables only.
fn knows_parts(own: &[String]) -> bool {
    own.iter().any(|name| name.starts_with("column "))
}

fn failed(statement: &str, error: sqlx::Error) -> BoxError {
    if super::error::passes(&error) {
        return error.into();
    }
    format!(
        "what is attached to the live read model can't be carried over by \"{statement}\": {}",
        chain(&error)
    )
    .into()
}
