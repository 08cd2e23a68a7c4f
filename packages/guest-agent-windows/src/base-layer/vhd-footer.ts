import { randomUUID } from "node:crypto";

const sectorBytes = 512;
const fixedDisk = 2;

/**
 * What makes a raw image of `size` bytes a fixed VHD when it is appended. Source: Microsoft, "Virtual Hard Disk Image
 * Format Specification", Hard Disk Footer Format.
 */
export function fixedVhdFooter(size: number, id: string = randomUUID()): Buffer {
  const footer = Buffer.alloc(sectorBytes);
  footer.write("conectix", 0, "latin1");
  footer.writeUInt32BE(2, 8);
  footer.writeUInt32BE(0x00010000, 12);
  footer.writeBigUInt64BE(0xffffffffffffffffn, 16);
  footer.write("uvms", 28, "latin1");
  footer.writeUInt32BE(0x00010000, 32);
  footer.write("Wi2k", 36, "latin1");
  footer.writeBigUInt64BE(BigInt(size), 40);
  footer.writeBigUInt64BE(BigInt(size), 48);
  // Cylinders, heads and sectors of the largest disk that has them: nobody addresses by them.
  footer.writeUInt16BE(Math.min(0xffff, Math.floor(size / sectorBytes / (16 * 63))), 56);
  footer.writeUInt8(16, 58);
  footer.writeUInt8(63, 59);
  footer.writeUInt32BE(fixedDisk, 60);
  Buffer.from(id.replaceAll("-", ""), "hex").copy(footer, 68);
  const sum = footer.reduce((total, byte) => total + byte, 0);
  footer.writeUInt32BE(~sum >>> 0, 64);
  return footer;
}
