/** Where Debian has the plugins that set pods' networks up. */
export const CNI_PLUGINS = "/usr/lib/cni";

/** The Debian packages that the suite and the demo need beside a minimal installation, each by a program of it. */
export const PACKAGES: readonly { readonly name: string; readonly program: string }[] = [
  { name: "busybox-static", program: "busybox" },
  { name: "crun", program: "crun" },
  { name: "runc", program: "runc" },
  { name: "e2fsprogs", program: "mkfs.ext4" },
  { name: "bsdutils", program: "script" },
  { name: "util-linux", program: "unshare" },
  { name: "iproute2", program: "ip" },
  { name: "containernetworking-plugins", program: `${CNI_PLUGINS}/bridge` },
  { name: "iptables", program: "iptables" },
];
