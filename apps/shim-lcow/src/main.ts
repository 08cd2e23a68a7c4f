import { realpathSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { runShim } from "@uvm-shim/shim";
import { loadPlatform } from "./flavour.ts";

declare const UVM_SHIM_VERSION: string;

// The bundle stands in lib/ beside the launcher, which is what people call the executable.
const executableDirectory = path.dirname(path.dirname(realpathSync(process.argv[1] ?? process.execPath)));

void runShim(
  {
    name: "containerd-shim-lcow-v2",
    runtimeName: "io.containerd.lcow.v2",
    version: UVM_SHIM_VERSION,
    loadPlatform,
    executableDirectory,
  },
  process,
);
