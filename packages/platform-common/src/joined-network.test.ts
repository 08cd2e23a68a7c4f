import { describe, expect, it } from "vitest";
import { joinNetwork } from "./joined-network.ts";

const id = "01234567-89ab-4def-8123-456789abcdef";
const named = { kind: "path", field: "netns_path", path: "/run/netns/x" } as const;

/** A host that has network namespaces of its own, or fails with an error of this code. */
function linuxHost(code?: string) {
  const joined: (readonly [system: string, path: string])[] = [];
  const joinNetworkNamespace = async (system: string, path: string): Promise<string> => {
    if (code !== undefined) throw Object.assign(new Error("it said why"), { code });
    joined.push([system, path]);
    return id;
  };
  return { joined, host: { joinNetworkNamespace } };
}

describe("the network that a sandbox's caller names", () => {
  it("is none, one of HCN, or one of the host from which HCN's is made", async () => {
    const { joined, host } = linuxHost();
    expect(await joinNetwork({ kind: "none" }, "vm", host)).toEqual({});
    expect(await joinNetwork({ kind: "hcn", id }, "vm", host)).toEqual({ namespaceId: id });
    expect(joined).toEqual([]);
    expect(await joinNetwork(named, "vm", host)).toEqual({ namespaceId: id, hostPath: "/run/netns/x" });
    expect(joined).toEqual([["vm", "/run/netns/x"]]);
  });

  it("is refused on a host that has only HCN's, such as Windows", async () => {
    await expect(joinNetwork(named, "vm", {})).rejects.toMatchObject({
      code: "InvalidArgument",
      message: expect.stringContaining('netns_path is "/run/netns/x", expected the GUID of an HCN namespace'),
    });
  });

  it.each([
    ["NotFound", "InvalidArgument", 'cannot join network namespace "/run/netns/x" (netns_path): Error: it said why'],
    ["InvalidArgument", "InvalidArgument", "cannot join network namespace"],
    ["Unavailable", "Unavailable", "it said why"],
  ])("fails with %s as %s", async (thrown, code, message) => {
    await expect(joinNetwork(named, "vm", linuxHost(thrown).host)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });
});
