import process from "node:process";
import { runShim } from "@uvm-shim/shim";
import { loadPlatform, unimplemented } from "./flavour.ts";

declare const UVM_SHIM_VERSION: string;

const name = "containerd-shim-wcow-v2";
const isAboutItself = process.argv.slice(2).some((argument) => /^--?(v|version|info)(=|$)/.test(argument));

if (isAboutItself) {
  void runShim({ name, runtimeName: "io.containerd.wcow.v2", version: UVM_SHIM_VERSION, loadPlatform }, process);
} else {
  // Fails `start`, so that containerd does not wait for a shim that cannot create a sandbox.
  const { code, message } = unimplemented();
  process.stderr.write(`${name}: ${code}: ${message}\n`);
  process.exitCode = 1;
}
