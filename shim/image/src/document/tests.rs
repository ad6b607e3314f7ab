//! Documents as writers make them, and documents that lie.

use super::*;
use gantry_model::ErrorKind;
use gantry_model::digest::Digest;

fn hex(c: char) -> String {
    format!("sha256:{}", c.to_string().repeat(64))
}

fn manifest(extra: &str) -> String {
    let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
    format!(
        r#"{{"schemaVersion":2,{extra}"config":{{"mediaType":"x","digest":"{}","size":2}},
        "layers":[{{"mediaType":"{layer}","digest":"{}","size":3}}]}}"#,
        hex('a'),
        hex('b')
    )
}

#[test]
fn the_two_kinds_are_told_apart() {
    let oci = format!("\"mediaType\":\"{MANIFEST_OCI}\",");
    for (extra, announced) in [
        ("", ""),
        (oci.as_str(), ""),
        ("", MANIFEST_OCI),
        (oci.as_str(), MANIFEST_OCI),
    ] {
        let doc = Document::parse(manifest(extra).as_bytes(), announced, "x").unwrap();
        assert!(matches!(doc, Document::Manifest(m) if m.layers.len() == 1));
    }
    let index = r#"{"schemaVersion":2,"manifests":[]}"#;
    assert!(matches!(
        Document::parse(index.as_bytes(), ACCEPT[0], "x"),
        Ok(Document::Index(_))
    ));
}

#[test]
fn ambiguous_and_malformed_documents_are_refused() {
    let both = manifest("\"manifests\":[],");
    let renamed = manifest(&format!("\"mediaType\":\"{}\",", ACCEPT[0]));
    let twice = manifest("\"layers\":[],");
    let v1 = r#"{"schemaVersion":1,"fsLayers":[]}"#.to_owned();
    let path = manifest("").replace(&hex('a'), "sha256:../../../../etc/passwd");
    let upper = manifest("").replace(&hex('a'), &hex('A'));
    let negative = manifest("").replace("\"size\":3", "\"size\":-3");
    let chart = manifest("").replace("image.layer.v1.tar+gzip", "helm.chart");
    let deep = "[".repeat(100_000);
    let big = manifest(&format!("\"x\":\"{}\",", "y".repeat(5 << 20)));
    for doc in [
        both,
        renamed,
        twice,
        v1,
        path,
        upper,
        negative,
        chart,
        deep,
        big,
        "{}".into(),
        "null".into(),
    ] {
        let err = Document::parse(doc.as_bytes(), "", "x").unwrap_err();
        assert_eq!(
            err.kind,
            ErrorKind::InvalidArgument,
            "{}",
            &doc[..doc.len().min(200)]
        );
    }
    for announced in [
        ACCEPT[0],
        "text/html",
        "application/vnd.oci.image.config.v1+json",
    ] {
        assert!(
            Document::parse(manifest("").as_bytes(), announced, "x").is_err(),
            "{announced}"
        );
    }
    let many = format!(
        "{{\"manifests\":[{}]}}",
        vec![format!("{{\"digest\":\"{}\",\"size\":1}}", hex('c')); 1001].join(",")
    );
    assert!(Document::parse(many.as_bytes(), "", "x").is_err());
}

#[test]
fn the_hosts_entry_is_chosen() {
    let arch = platform::architecture();
    let entry = |c: char, p: &str| format!(r#"{{"digest":"{}","size":1{p}}}"#, hex(c));
    let platform = |os: &str, arch: &str, variant: &str| {
        format!(r#","platform":{{"os":"{os}","architecture":"{arch}","variant":"{variant}"}}"#)
    };
    let entries = [
        entry('0', &platform("unknown", "unknown", "")),
        entry('1', ""),
        entry('2', &platform("windows", arch, "")),
        entry('3', &platform("linux", arch, "v9")),
        entry('4', &platform("linux", arch, "")),
        entry('5', &platform("linux", "vax", "")),
    ];
    let json = format!("{{\"manifests\":[{}]}}", entries.join(","));
    let Ok(Document::Index(index)) = Document::parse(json.as_bytes(), "", "x") else {
        panic!("an index")
    };
    let order: Vec<_> = choose(&index)
        .iter()
        .map(|d| d.digest.hex().chars().next().unwrap())
        .collect();
    assert_eq!(order, ['4', '3', '1']);
}

#[test]
fn chain_ids_follow_the_specification() {
    let [a, b] = ['a', 'b'].map(|c| hex(c).parse::<Digest>().unwrap());
    assert_eq!(
        chain_ids(std::slice::from_ref(&a)),
        std::slice::from_ref(&a)
    );
    let chain = chain_ids(&[a.clone(), b.clone()]);
    assert_eq!(
        chain[1],
        crate::content::sha256(format!("{a} {b}").as_bytes())
    );
    assert!(chain_ids(&[]).is_empty());
}

#[test]
fn nulls_of_old_writers_are_empty() {
    let json = r#"{"architecture":"amd64","os":"linux","config":{"Env":null,"Cmd":["sh"],"Entrypoint":[],"Volumes":null,
        "ExposedPorts":{"80/tcp":{}},"Labels":null,"Healthcheck":{"Test":["NONE"]}},"rootfs":{"type":"layers","diff_ids":null},
        "history":[{"created_by":"x"}],"container":"ignored"}"#;
    let digest: Digest = hex('c').parse().unwrap();
    let doc = ConfigDocument::parse(json.as_bytes(), &digest).unwrap();
    let desc = Desc {
        media_type: String::new(),
        digest,
        size: 7,
        platform: None,
        annotations: None,
    };
    let manifest = Manifest {
        config: desc.clone(),
        layers: vec![],
    };
    doc.check(&manifest).unwrap();
    let d = details(&desc, &desc, &manifest, doc, 5);
    assert_eq!(
        (d.config.entrypoint, d.config.cmd),
        (None, Some(vec!["sh".to_owned()]))
    );
    assert!(d.config.exposed_ports.contains("80/tcp"));
    assert_eq!(
        (d.chain_id.as_str(), d.content_size, d.unpacked_size),
        ("", 14, 5)
    );
    assert_eq!(d.config.healthcheck, r#"{"Test":["NONE"]}"#);
}

#[test]
fn a_made_manifest_is_read_back_and_always_the_same() {
    let Ok(Document::Manifest(m)) = Document::parse(manifest("").as_bytes(), "", "x") else {
        panic!("a manifest")
    };
    assert_eq!(m.to_bytes(), m.clone().to_bytes());
    assert!(matches!(
        Document::parse(&m.to_bytes(), MANIFEST_OCI, "x"),
        Ok(Document::Manifest(_))
    ));
}
