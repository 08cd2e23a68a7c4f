/** The bill of materials of an archive, in CycloneDX's form. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ComponentType, HashAlgorithm } from "@cyclonedx/cyclonedx-library/Enums";
import {
  Bom,
  Component as BomComponent,
  LicenseExpression,
  Property,
  SpdxLicense,
} from "@cyclonedx/cyclonedx-library/Models";
import { JSON as Json, JsonSerializer } from "@cyclonedx/cyclonedx-library/Serialize";
import { isSupportedSpdxId } from "@cyclonedx/cyclonedx-library/SPDX";
import { Spec1dot6 } from "@cyclonedx/cyclonedx-library/Spec";
import type { Component, TargetContents } from "./components.ts";

export interface Release {
  /** The name of the archive, without ending. */
  readonly name: string;
  readonly version: string;
  readonly commit: string;
  readonly date: Date;
  /** The folder whose files are digested. */
  readonly folder: string;
}

export function billOf(contents: TargetContents, release: Release): string {
  const known = new Map<string, BomComponent>();
  const take = (component: Component): BomComponent => {
    const id = purlOf(component) ?? `${component.partOf} ${component.name}`.replaceAll(" ", "/");
    const made = known.get(id) ?? describe(component, id, release.folder);
    known.set(id, made);
    return made;
  };

  const bom = new Bom();
  const archive = new BomComponent(ComponentType.Application, "uvm-shim", {
    bomRef: release.name,
    version: release.version,
  });
  archive.properties.add(new Property("uvm-shim:commit", release.commit));
  bom.metadata.component = archive;
  bom.metadata.timestamp = release.date;
  for (const { component, components } of contents.programs) {
    const program = take(component);
    program.type = ComponentType.Application;
    archive.dependencies.add(program.bomRef);
    for (const each of components) program.dependencies.add(take(each).bomRef);
  }
  for (const each of contents.runtime) archive.dependencies.add(take(each).bomRef);
  for (const [, component] of [...known].sort(([a], [b]) => (a < b ? -1 : 1))) bom.components.add(component);
  bom.serialNumber = `urn:uuid:${uuidOf(`${release.name} ${release.commit} ${[...known.keys()].sort().join(" ")}`)}`;
  const serializer = new JsonSerializer(new Json.Normalize.Factory(Spec1dot6));
  return `${serializer.serialize(bom, { sortLists: true, space: 2 })}\n`;
}

function describe(component: Component, bomRef: string, folder: string): BomComponent {
  const { name, version, license, parts = {}, files = [] } = component;
  const made = new BomComponent(ComponentType.Library, name, version === undefined ? { bomRef } : { bomRef, version });
  const purl = purlOf(component);
  if (purl !== undefined) made.purl = purl;
  made.licenses.add(isSupportedSpdxId(license) ? new SpdxLicense(license) : new LicenseExpression(license));
  const [file] = files;
  if (file !== undefined) {
    made.hashes.set(
      HashAlgorithm["SHA-256"],
      createHash("sha256")
        .update(readFileSync(join(folder, file)))
        .digest("hex"),
    );
    for (const each of files) made.properties.add(new Property("uvm-shim:file", each));
  }
  for (const [part, ofVersion] of Object.entries(parts)) {
    made.components.add(
      new BomComponent(ComponentType.Library, part, { bomRef: `${bomRef}/${part}`, version: ofVersion }),
    );
  }
  return made;
}

function purlOf({ name, version, partOf }: Component): string | undefined {
  return partOf === undefined ? `pkg:npm/${name.replace("@", "%40")}@${version}` : undefined;
}

/** A UUID of version 5's form, so that the same archive has the same number. */
function uuidOf(text: string): string {
  const bytes = createHash("sha256").update(text).digest().subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x50;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
