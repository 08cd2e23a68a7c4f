import { containerd } from "@uvm-shim/shim/protocol";
import type { Provocation } from "./provocation.ts";
import { containerEnds } from "./provoke-containers.ts";
import { machineEnds } from "./provoke-machine.ts";
import { vmEnds } from "./provoke-vms.ts";
import { windowsEnds } from "./provoke-windows.ts";

const { ShimDiag } = containerd.runhcs.v1.diag;

export const provocations: readonly Provocation[] = [
  { name: "a pod in which all is well", run: (bench) => bench.running() },
  {
    name: "a pod in whose VM somebody has a program, and could not start another",
    later: 60,
    run: async (bench) => {
      const { pod } = await bench.running();
      void pod.shim.call(ShimDiag, "DiagExecInHost", { args: ["sleep", "1000"] }).catch(() => {});
      await pod.shim.call(ShimDiag, "DiagExecInHost", { args: ["/no/such/program"] }).catch(() => {});
      await pod.shim.call(ShimDiag, "DiagExecInHost", { args: ["ls", "/"] });
    },
  },
  ...machineEnds,
  ...vmEnds,
  ...containerEnds,
  ...windowsEnds,
];
