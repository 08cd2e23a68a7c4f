/** A module of its own, so that `start` and `-v` do not load the host driver. */
import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";
import { getAsset, isSea } from "node:sea";
import { compileFunction } from "node:vm";
import { type GrpcPart, type LinuxCallsPart, ownFolder, type TelemetryPart } from "@uvm-shim/shim";

/** Loads the bundle of packages/telemetry. */
export async function loadTelemetry(): Promise<TelemetryPart> {
  return loadPart("telemetry") as TelemetryPart;
}

/** Loads the bundle of packages/grpc-server. */
export async function loadGrpc(): Promise<GrpcPart> {
  return loadPart("grpc-server") as GrpcPart;
}

/** Loads the bundle of packages/linux-calls; absent on other systems. */
export const loadLinuxCalls =
  process.platform === "linux" ? async () => loadPart("linux-calls") as LinuxCallsPart : undefined;

/** Called by what the build puts in the place of a module that is in a program's second file. */
export function loadServing(program: string, module: string): unknown {
  serving ??= loadPart(`${program}.serving`) as { readonly [module: string]: () => unknown };
  return serving[module]?.();
}

let serving: { readonly [module: string]: () => unknown } | undefined;

/** What only some processes need: a file beside the shim's own bundle, or an asset of the single executable. */
function loadPart(name: string): unknown {
  const file = path.join(ownFolder(process), `${name}.cjs`);
  const require = createRequire(file);
  if (!isSea()) return require(file);
  const module = { exports: {} };
  const parameters = ["module", "exports", "require"];
  compileFunction(getAsset(`${name}.cjs`, "utf8"), parameters, { filename: file })(module, module.exports, require);
  return module.exports;
}
