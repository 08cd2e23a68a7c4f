import { checkOciSpec } from "@uvm-shim/hcs-schema";
import { expect, it } from "vitest";
import { features } from "./features.ts";

it("-info lists exactly what a specification may ask for", () => {
  const { mountOptions, linux } = features;
  const { seccomp, namespaces, capabilities } = linux;
  const spec = {
    ociVersion: features.ociVersionMax,
    process: { cwd: "/", capabilities: { bounding: capabilities } },
    mounts: [{ destination: "/d", options: mountOptions }],
    linux: {
      namespaces: namespaces.map((type) => ({ type })),
      seccomp: {
        defaultAction: "SCMP_ACT_ERRNO",
        architectures: seccomp.archs,
        syscalls: seccomp.actions.map((action) => ({ names: ["mkdir"], action })),
      },
    },
  };
  expect(checkOciSpec(spec)).toEqual(spec);
  // CRI offers mounts that are read-only throughout where it finds this one.
  expect(mountOptions).toContain("rro");
  expect([mountOptions, capabilities].map((words) => words.length - new Set(words).size)).toEqual([0, 0]);
});

it("-info omits features that stay on the host", () => {
  expect(features.hooks).toEqual([]);
  const { apparmor, selinux, namespaces, seccomp } = features.linux;
  expect([apparmor.enabled, selinux.enabled]).toEqual([false, false]);
  expect([...namespaces, ...seccomp.actions]).not.toContain("user");
  expect(seccomp.actions).not.toContain("SCMP_ACT_NOTIFY");
});
