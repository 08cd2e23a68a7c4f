import { runShim } from "@uvm-shim/shim";
import { loadPlatform } from "./flavour.ts";

declare const UVM_SHIM_VERSION: string;

void runShim(
  {
    name: "containerd-shim-lcow-v2",
    runtimeName: "io.containerd.lcow.v2",
    version: UVM_SHIM_VERSION,
    loadPlatform,
  },
  process,
);
