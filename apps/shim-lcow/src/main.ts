import path from "node:path";
import process from "node:process";
import { isSea } from "node:sea";
import { loadGrpc, loadLinuxCalls, loadTelemetry } from "@uvm-shim/platform-common/parts";
import { loadWindowsCalls } from "@uvm-shim/platform-common/windows-calls";
import { ownFolder, runShim } from "@uvm-shim/shim";
import { features } from "./features.ts";
import { loadPlatform } from "./flavour.ts";

declare const UVM_SHIM_VERSION: string;
declare const UVM_SHIM_COMMIT: string;

void runShim(
  {
    name: "containerd-shim-lcow-v2",
    runtimeName: "io.containerd.lcow.v2",
    version: UVM_SHIM_VERSION,
    flavour: "lcow",
    revision: UVM_SHIM_COMMIT,
    features,
    checkHost: async (env) => (await import("@uvm-shim/platform-common/host-location")).checkHostVariables(env),
    loadPlatform,
    loadWindowsCalls,
    loadLinuxCalls,
    loadTelemetry,
    loadGrpc,
    // Without a single executable the script is in lib/, below the launcher that people call the executable.
    executableDirectory: isSea() ? ownFolder(process) : path.dirname(ownFolder(process)),
  },
  process,
);
