//! Builds the example application's image: into an archive, or into a registry.

use anyhow::{Context, Result, bail};
use testkit::image::{WEBAPP_NAME, webapp_image};
use testkit::registry::push;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["archive", file] => {
            let image = webapp_image()?;
            std::fs::write(file, image.oci_archive(&[WEBAPP_NAME]))
                .with_context(|| format!("write {file}"))?;
            println!("{WEBAPP_NAME} {} in {file}", image.manifest().digest);
        }
        ["push", url, repository, tag] => {
            let image = webapp_image()?;
            push(url.trim_end_matches('/'), &image, repository, tag).await?;
            println!("{repository}:{tag} {} at {url}", image.manifest().digest);
        }
        _ => bail!("usage: webapp-image archive FILE | webapp-image push URL REPOSITORY TAG"),
    }
    Ok(())
}
