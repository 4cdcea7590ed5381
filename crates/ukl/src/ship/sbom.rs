//! An image and its sources → a software bill of materials: SPDX 2.3 as JSON.

use std::collections::BTreeMap;

use formats::licence;
use serde_json::{json, Value};

use crate::base::error::Result;
use crate::base::workdir;
use crate::image::folder::Image;
use crate::ship::sources::{Owner, Source, KERNEL_LICENCE};

/// Licences that SPDX does not know, by their names in the document.
type Others = BTreeMap<String, String>;

/// The document. The same image and sources make the same text: nothing says when it was written.
pub fn document(image: &Image, sources: &[Source]) -> Result<String> {
    let mut others = Others::new();
    let root = root(image);
    let mut packages = vec![root];
    let mut relations = vec![relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image")];
    for source in sources {
        let package = package(source, &mut others);
        // Everything is linked into one kernel.
        relations.push(relation("SPDXRef-Image", "STATIC_LINK", package["SPDXID"].as_str().unwrap_or_default()));
        packages.push(package);
    }
    for (name, file) in &image.info.files {
        let id = format!("SPDXRef-File-{}", plain(name));
        packages.push(json!({
            "SPDXID": id, "name": name, "downloadLocation": "NOASSERTION", "filesAnalyzed": false,
            "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION", "copyrightText": "NOASSERTION",
            "checksums": [{ "algorithm": "SHA256", "checksumValue": file.sha256 }],
            "primaryPackagePurpose": "FILE",
        }));
        relations.push(relation("SPDXRef-Image", "CONTAINS", &id));
    }
    let manifest = workdir::hash_file(&image.dir.manifest())?;
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": image.info.name,
        "documentNamespace": format!("urn:ukl:{}:{manifest}", plain(&image.info.name)),
        "creationInfo": { "created": "1970-01-01T00:00:00Z", "creators": [format!("Tool: ukl-{}", image.info.ukl)] },
        "packages": packages,
        "relationships": relations,
    });
    if !others.is_empty() {
        let one = |(id, name): (&String, &String)| json!({ "licenseId": id, "name": name, "extractedText": name });
        document["hasExtractedLicensingInfos"] = others.iter().map(one).collect();
    }
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

fn root(image: &Image) -> Value {
    json!({
        "SPDXID": "SPDXRef-Image", "name": image.info.name, "versionInfo": image.info.kernel.key,
        "downloadLocation": "NOASSERTION", "filesAnalyzed": false, "licenseConcluded": "NOASSERTION",
        "licenseDeclared": KERNEL_LICENCE, "copyrightText": "NOASSERTION", "primaryPackagePurpose": "OPERATING-SYSTEM",
        "comment": format!("Linux {} with the patches {}", image.info.kernel.version, image.info.kernel.patches.join(", ")),
    })
}

fn package(source: &Source, others: &mut Others) -> Value {
    let declared = match (source.owner, &source.licences) {
        (Owner::Kernel, _) => KERNEL_LICENCE.to_owned(),
        (_, None) => "NOASSERTION".to_owned(),
        (_, Some(paragraphs)) => {
            let mut all: Vec<String> = paragraphs.iter().map(|one| in_group(licence::spdx(&one.licence))).collect();
            all.sort();
            all.dedup();
            for word in all.join(" ").split([' ', '(', ')']).filter(|word| word.starts_with("LicenseRef-")) {
                others.insert(word.to_owned(), word.trim_start_matches("LicenseRef-").to_owned());
            }
            if all.is_empty() {
                "NOASSERTION".to_owned()
            } else {
                all.join(" AND ")
            }
        }
    };
    let mut package = json!({
        "SPDXID": format!("SPDXRef-Source-{}", plain(&source.name)), "name": source.name,
        "downloadLocation": "NOASSERTION", "filesAnalyzed": false, "licenseConcluded": "NOASSERTION",
        "licenseDeclared": declared, "copyrightText": "NOASSERTION", "primaryPackagePurpose": "SOURCE",
    });
    if let Some(version) = &source.version {
        package["versionInfo"] = json!(version);
    }
    if let Some(sha256) = &source.sha256 {
        package["checksums"] = json!([{ "algorithm": "SHA256", "checksumValue": sha256 }]);
    }
    package
}

fn in_group(expression: String) -> String {
    if expression.contains(" OR ") {
        format!("({expression})")
    } else {
        expression
    }
}

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to })
}

/// What SPDX allows in an identifier.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '-' }).collect()
}
