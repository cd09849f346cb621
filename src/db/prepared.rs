/// A statement that a connection prepares once.
///
/// diesel prepares every `update`, and every `insert` on a
/// [`Conn`](crate::db::Conn), anew at each use, and to parse it takes longer
/// than to run it. What runs for every event is written with this instead:
/// pieces of SQL with the value that comes after each, and its type there.
#[macro_export]
macro_rules! prepared {
    (
        $(#[$doc:meta])*
        $vis:vis $name:ident $(<$life:lifetime>)? {
            $($sql:literal $field:ident: $type:ty as $sql_type:ty,)*
            $(; $end:literal)?
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        $vis struct $name $(<$life>)? {
            $($vis $field: $type,)*
        }

        const _: () = {
            use diesel::query_builder::{AstPass, QueryFragment, QueryId};
            #[allow(unused_imports)]
            use diesel::sql_types::{BigInt, Nullable, Text};

            pub struct Id;

            impl $(<$life>)? QueryId for $name $(<$life>)? {
                type QueryId = Id;

                const HAS_STATIC_QUERY_ID: bool = true;
            }

            $crate::prepared!(@on diesel::sqlite::Sqlite, $name $(<$life>)?, $($sql $field $sql_type)*, $($end)?);
            $crate::prepared!(@on diesel::pg::Pg, $name $(<$life>)?, $($sql $field $sql_type)*, $($end)?);

            impl<$($life,)? C> diesel::RunQueryDsl<C> for $name $(<$life>)? {}

            impl $(<$life>)? $name $(<$life>)? {
                /// How many rows it touched.
                $vis fn run(self, conn: &mut $crate::db::Conn) -> $crate::db::Result<usize> {
                    Ok($crate::on_either!(conn, |conn| diesel::RunQueryDsl::execute(self, conn))?)
                }
            }
        };
    };
    (@on $database:ty, $name:ident $(<$life:lifetime>)?, $($sql:literal $field:ident $sql_type:ty)*, $($end:literal)?) => {
        impl $(<$life>)? QueryFragment<$database> for $name $(<$life>)? {
            fn walk_ast<'b>(
                &'b self,
                #[allow(unused_mut)]
                mut out: AstPass<'_, 'b, $database>,
            ) -> diesel::QueryResult<()> {
                $(
                    out.push_sql($sql);
                    out.push_bind_param::<$sql_type, _>(&self.$field)?;
                )*
                $(out.push_sql($end);)?
                Ok(())
            }
        }
    };
}
