/** A module of its own, so that `start` and `-v` do not load the host driver. */
import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";
import { getAsset, isSea } from "node:sea";
import { compileFunction } from "node:vm";
import { ownFolder, type TelemetryPart } from "@uvm-shim/shim";

const name = "telemetry.cjs";

/** Loads the bundle of packages/telemetry: a file beside the shim's own bundle, or an asset of the single executable. */
export async function loadTelemetry(): Promise<TelemetryPart> {
  const file = path.join(ownFolder(process), name);
  const require = createRequire(file);
  if (!isSea()) return require(file) as TelemetryPart;
  const module = { exports: {} };
  const parameters = ["module", "exports", "require"];
  compileFunction(getAsset(name, "utf8"), parameters, { filename: file })(module, module.exports, require);
  return module.exports as TelemetryPart;
}
