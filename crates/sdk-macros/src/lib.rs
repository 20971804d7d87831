//! The attribute `#[muster_sdk::function]`, which the sdk hands on: a crate of its own, since
//! attributes must be.

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned as _;
use syn::{Error, FnArg, ItemFn, PatType, ReturnType, Type};

/// Lets a function run as a task. It stays as it is, and a type of the same name names it:
///
/// ```ignore
/// #[muster_sdk::function]
/// fn square(n: u64) -> u64 { n * n }
///
/// let squares = tasks.map::<square>(0..10).await?;
/// ```
///
/// Its arguments and its result are owned values of serde. Several arguments are one tuple to
/// `map` and `submit`. The first may be a `&TaskContext`. A result that is written as `Result<…>`
/// fails the task when it is an error.
#[proc_macro_attribute]
pub fn function(attribute: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let made = if attribute.is_empty() {
        syn::parse::<ItemFn>(item).and_then(|function| expand(&function))
    } else {
        Err(Error::new_spanned(TokenStream::from(attribute), "it takes no options"))
    };
    made.unwrap_or_else(|error| error.into_compile_error()).into()
}

fn expand(function: &ItemFn) -> Result<TokenStream, Error> {
    let signature = &function.sig;
    let refused = [
        (signature.asyncness.map(|token| token.span()), "a function that runs as a task is not async"),
        (signature.unsafety.map(|token| token.span()), "a function that runs as a task is not unsafe"),
        (signature.generics.lt_token.map(|token| token.span()), "a function that runs as a task is not generic"),
        (signature.variadic.as_ref().map(|found| found.span()), "a function that runs as a task is not variadic"),
    ];
    for (found, message) in refused {
        if let Some(span) = found {
            return Err(Error::new(span, message));
        }
    }
    let mut types = typed(signature.inputs.iter())?;
    let wants_context = types.first().is_some_and(|first| matches!(first, Type::Reference(_)));
    if wants_context {
        types.remove(0);
    }
    if let Some(reference) = types.iter().find(|argument| matches!(argument, Type::Reference(_))) {
        return Err(Error::new_spanned(reference, "an argument that travels is owned, not borrowed"));
    }
    let (name, visibility) = (&signature.ident, &function.vis);
    let names: Vec<_> = (0..types.len()).map(|number| quote::format_ident!("argument_{number}")).collect();
    let (arguments, pattern) = match types.as_slice() {
        [only] => (quote!(#only), quote!(#(#names)*)),
        several => (quote!((#(#several,)*)), quote!((#(#names,)*))),
    };
    let context = wants_context.then(|| quote!(context,));
    let call = quote!(#name(#context #(#names),*));
    let (output, call) = match &signature.output {
        ReturnType::Default => (quote!(()), quote!({ #call; ::core::result::Result::Ok(()) })),
        ReturnType::Type(_, output) if is_result(output) => (
            quote!(<#output as ::muster_sdk::function::FallibleOutput>::Output),
            quote!(::muster_sdk::function::FallibleOutput::into_task_result(#call)),
        ),
        ReturnType::Type(_, output) => (quote!(#output), quote!(::core::result::Result::Ok(#call))),
    };
    let text = name.to_string();
    Ok(quote! {
        #function

        #[doc(hidden)]
        #[allow(non_camel_case_types)]
        #visibility struct #name {}

        impl ::muster_sdk::function::TaskFunction for #name {
            type Arguments = #arguments;
            type Output = #output;
            const NAME: &'static str = ::core::concat!(::core::module_path!(), "::", #text);

            fn call(
                context: &::muster_sdk::TaskContext,
                #pattern: Self::Arguments,
            ) -> ::core::result::Result<Self::Output, ::muster_sdk::TaskError> {
                let _ = context;
                #call
            }
        }

        ::muster_sdk::function::inventory::submit! {
            ::muster_sdk::function::RegisteredFunction::new::<#name>()
        }
    })
}

/// The types of the arguments.
fn typed<'a>(inputs: impl Iterator<Item = &'a FnArg>) -> Result<Vec<Type>, Error> {
    inputs
        .map(|input| match input {
            FnArg::Typed(PatType { ty, .. }) => Ok((**ty).clone()),
            FnArg::Receiver(receiver) => Err(Error::new_spanned(receiver, "a method cannot run as a task")),
        })
        .collect()
}

/// Whether a type is written as a `Result`: the macro sees words, not types.
fn is_result(output: &Type) -> bool {
    matches!(output, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Result"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        let function: ItemFn = syn::parse_str(text).map_err(|error| error.to_string())?;
        expand(&function).map(|tokens| tokens.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_function_stays_and_a_type_of_its_name_is_added() {
        let made = expanded("pub fn add(a: u64, b: u64) -> u64 { a + b }").unwrap();
        for part in ["pub fn add", "pub struct add { }", "type Arguments = (u64 , u64 ,)", "type Output = u64"] {
            assert!(made.contains(part), "{part}: {made}");
        }
        assert!(expanded("fn one(a: u64) -> u64 { a }").unwrap().contains("type Arguments = u64"));
        let fallible = expanded("fn f(c: &TaskContext) -> Result<u8, String> { Ok(1) }").unwrap();
        assert!(fallible.contains("into_task_result (f (context ,))"), "{fallible}");
    }

    #[test]
    fn what_cannot_run_as_a_task_is_refused_in_words() {
        for (text, words) in [
            ("async fn f() {}", "not async"),
            ("unsafe fn f() {}", "not unsafe"),
            ("fn f<T>(a: T) {}", "not generic"),
            ("fn f(a: u8, b: &str) {}", "owned, not borrowed"),
        ] {
            assert!(expanded(text).unwrap_err().contains(words), "{text}");
        }
    }
}
