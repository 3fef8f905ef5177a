//! The macro that turns a [`Strategy`](crate::Strategy) into a component.

/// Exports a type that implements [`Strategy`](crate::Strategy) as the component's strategy, with the graph window. Once per crate.
///
/// Outside Wasm it does nothing, so that the same crate links into tests.
#[macro_export]
macro_rules! export_strategy {
    ($strategy:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;

            ::std::thread_local! {
                static INSTANCE: ::std::cell::RefCell<$crate::component::Instance<$strategy>> =
                    const { ::std::cell::RefCell::new($crate::component::Instance::new()) };
            }

            impl $crate::component::Exported for Exported {
                type Strategy = $strategy;

                fn with<R>(f: impl FnOnce(&mut $crate::component::Instance<$strategy>) -> R) -> R {
                    INSTANCE.with_borrow_mut(f)
                }
            }

    $crate::component::bindings::export!(Exported with_types_in $crate::component::bindings);
        };
    };
}
