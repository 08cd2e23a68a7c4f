/** Images made on the spot, as OCI layouts that `ctr image import` takes. */
import { createHash, type Hash } from "node:crypto";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun } from "@uvm-shim/test-support/command";
import { makeRootfs } from "@uvm-shim/test-support/rootfs";

export const IMAGE = "uvm-shim.test/busybox:1";
/** The same with a first process that waits, as the images of sandbox containers have it. */
export const PAUSE_IMAGE = "uvm-shim.test/pause:1";
export const FOREIGN_IMAGE = "uvm-shim.test/foreign:1";
/** The program in the foreign image, and nothing else. */
export const FOREIGN_PROGRAM = "/bin/foreign";
export const MEBIBYTE = 1024 * 1024;
/** A file of the image: bytes that repeat nowhere, so that a hash reveals loss, repetition and disorder. */
export const PATTERN = { path: "/data/pattern", size: 8 * MEBIBYTE } as const;

export interface Images {
  readonly archive: string;
  readonly pauseArchive: string;
  readonly foreignArchive: string;
  readonly foreignArchitecture: Architecture;
  /** The directory that the image's one layer was made of. */
  readonly rootfs: string;
  readonly foreignRootfs: string;
}

type Architecture = "amd64" | "arm64";

/** Of an image with one layer. */
export interface ImageContent {
  readonly name: string;
  /** Of the names of its files. */
  readonly stem: string;
  readonly platform: {
    readonly os: "linux" | "windows";
    readonly architecture: Architecture;
    readonly "os.version"?: string;
  };
  readonly rootfs: string;
  readonly config: { readonly Env: readonly string[]; readonly Cmd: readonly string[]; readonly WorkingDir: string };
}

/** ELF's numbers of the machines. Source: the ELF specification's e_machine. */
const ELF_MACHINES: { readonly [architecture in Architecture]: number } = { amd64: 62, arm64: 183 };

export async function makeImages(directory: string): Promise<Images> {
  const architecture: Architecture = process.arch === "arm64" ? "arm64" : "amd64";
  const foreignArchitecture: Architecture = architecture === "arm64" ? "amd64" : "arm64";
  const rootfs = join(directory, "rootfs");
  mkdirSync(rootfs, { recursive: true });
  await makeRootfs(rootfs);
  writeFileSync(join(rootfs, PATTERN.path), pattern(PATTERN.size));
  const foreign = join(directory, "foreign");
  mkdirSync(join(foreign, "bin"), { recursive: true });
  writeFileSync(join(foreign, FOREIGN_PROGRAM), elfHeader(ELF_MACHINES[foreignArchitecture]), { mode: 0o755 });
  const linux = (name: string, stem: string, command: readonly string[]): ImageContent => ({
    ...{ name, stem, platform: { os: "linux", architecture }, rootfs },
    config: { Env: ["PATH=/bin"], Cmd: command, WorkingDir: "/" },
  });
  const foreignImage: ImageContent = {
    ...linux(FOREIGN_IMAGE, "foreign", ["sh"]),
    platform: { os: "linux", architecture: foreignArchitecture },
    rootfs: foreign,
  };
  return {
    archive: (await packImage(directory, linux(IMAGE, "busybox", ["sh"]))).archive,
    pauseArchive: (await packImage(directory, linux(PAUSE_IMAGE, "pause", ["sleep", "100000"]))).archive,
    foreignArchive: (await packImage(directory, foreignImage)).archive,
    foreignArchitecture,
    rootfs,
    foreignRootfs: foreign,
  };
}

/** The same bytes on every call and every machine. */
export function pattern(size: number): Buffer {
  const blocks: Buffer[] = [];
  for (let offset = 0; offset < size; offset += 32) blocks.push(sha256().update(String(offset)).digest());
  return Buffer.concat(blocks).subarray(0, size);
}

export function digestOf(data: Uint8Array): string {
  return sha256().update(data).digest("hex");
}

export interface PackedImage {
  /** The path of an OCI layout's archive. */
  readonly archive: string;
  readonly configDigest: string;
  /** Of the one layer, not compressed. */
  readonly layerDigest: string;
}

export async function packImage(directory: string, image: ImageContent): Promise<PackedImage> {
  const { name, stem, platform, rootfs, config: ofContainers } = image;
  const layout = join(directory, `${stem}-layout`);
  const blobs = join(layout, "blobs", "sha256");
  mkdirSync(blobs, { recursive: true });
  const layer = join(directory, `${stem}-layer.tar`);
  await pack(rootfs, layer);
  const put = (data: Uint8Array, mediaType: string) => {
    const hex = digestOf(data);
    writeFileSync(join(blobs, hex), data);
    return { mediaType, digest: `sha256:${hex}`, size: data.byteLength };
  };
  const putJson = (value: object, mediaType: string) => put(Buffer.from(JSON.stringify(value)), mediaType);
  const layerData = readFileSync(layer);
  const layerDescriptor = put(layerData, "application/vnd.oci.image.layer.v1.tar");
  const config = putJson(
    {
      ...platform,
      config: ofContainers,
      rootfs: { type: "layers", diff_ids: [layerDescriptor.digest] },
    },
    "application/vnd.oci.image.config.v1+json",
  );
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = putJson({ schemaVersion: 2, mediaType, config, layers: [layerDescriptor] }, mediaType);
  const annotations = { "io.containerd.image.name": name };
  writeFileSync(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  writeFileSync(
    join(layout, "index.json"),
    JSON.stringify({
      schemaVersion: 2,
      manifests: [{ ...manifest, platform, annotations }],
    }),
  );
  const archive = join(directory, `${stem}.tar`);
  await pack(layout, archive);
  return { archive, configDigest: config.digest, layerDigest: layerDescriptor.digest };
}

async function pack(directory: string, archive: string): Promise<void> {
  const same = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0"];
  await mustRun("tar", [...same, "-C", directory, "-cf", archive, "."]);
  if (statSync(archive).size === 0) throw new Error(`tar made an empty ${archive}`);
}

/** A program that is only the header of one: enough for a kernel to see that it is for another machine. */
function elfHeader(machine: number): Buffer {
  const header = Buffer.alloc(64);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]).copy(header);
  header.writeUInt16LE(2, 16);
  header.writeUInt16LE(machine, 18);
  header.writeUInt32LE(1, 20);
  header.writeUInt16LE(64, 52);
  return header;
}

function sha256(): Hash {
  return createHash("sha256");
}
