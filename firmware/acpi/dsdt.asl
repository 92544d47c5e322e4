// SPDX-License-Identifier: Apache-2.0
// The PC's ACPI name space: PCI bus 0 with its interrupt links, ISA devices, HPET, S5.
// Source: ACPI 6.4 chapters 6 (device configuration) and 19 (ASL); PIIX data sheet, PIRQRC[A:D].
DefinitionBlock ("dsdt.aml", "DSDT", 1, "EMU   ", "EMUPC   ", 1)
{
    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, Zero)
            Name (_BBN, Zero)

            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0x0000, 0x0000, 0x00FF, 0x0000, 0x0100)
                IO (Decode16, 0x0CF8, 0x0CF8, 0x01, 0x08)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0x0000, 0x0000, 0x0CF7, 0x0000, 0x0CF8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0x0000, 0x0D00, 0xFFFF, 0x0000, 0xF300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                    0x00000000, 0x000A0000, 0x000BFFFF, 0x00000000, 0x00020000)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0x00000000, 0xC0000000, 0xFEBFFFFF, 0x00000000, 0x3EC00000)
            })

            // Slot s, pin p (0 = INTA) is on PIRQ (s + p - 1) mod 4; see PIIX3 and SeaBIOS.
            Method (_PRT, 0, Serialized)
            {
                Local0 = Package (128) {}
                Local1 = Zero
                While (Local1 < 128)
                {
                    Local2 = (Local1 >> 2)
                    Local3 = ((Local1 + Local2 + 3) & 3)
                    If (Local3 == 0) { Local4 = Package (4) { Zero, Zero, LNKA, Zero } }
                    If (Local3 == 1) { Local4 = Package (4) { Zero, Zero, LNKB, Zero } }
                    If (Local3 == 2) { Local4 = Package (4) { Zero, Zero, LNKC, Zero } }
                    If (Local3 == 3) { Local4 = Package (4) { Zero, Zero, LNKD, Zero } }
                    Local4 [0] = ((Local2 << 16) | 0xFFFF)
                    Local4 [1] = (Local1 & 3)
                    Local0 [Local1] = Local4
                    Local1++
                }
                // The power-management function's INTA is the SCI, which is not shared on a link.
                Local0 [4] = Package (4) { 0x0001FFFF, Zero, LNKS, Zero }
                Return (Local0)
            }

            Device (ISA)
            {
                Name (_ADR, 0x00010000)
                OperationRegion (P40C, PCI_Config, 0x60, 0x04)
                Field (P40C, ByteAcc, NoLock, Preserve)
                {
                    PRQA, 8, PRQB, 8, PRQC, 8, PRQD, 8
                }

                Device (RTC)
                {
                    Name (_HID, EisaId ("PNP0B00"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0070, 0x0070, 0x01, 0x08)
                        IRQNoFlags () {8}
                    })
                }
                Device (KBD)
                {
                    Name (_HID, EisaId ("PNP0303"))
                    Method (_STA, 0) { Return (0x0F) }
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0060, 0x0060, 0x01, 0x01)
                        IO (Decode16, 0x0064, 0x0064, 0x01, 0x01)
                        IRQNoFlags () {1}
                    })
                }
                Device (MOU)
                {
                    Name (_HID, EisaId ("PNP0F13"))
                    Method (_STA, 0) { Return (0x0F) }
                    Name (_CRS, ResourceTemplate () { IRQNoFlags () {12} })
                }
                Device (COM1)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, One)
                    Method (_STA, 0) { Return (0x0F) }
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x03F8, 0x03F8, 0x00, 0x08)
                        IRQNoFlags () {4}
                    })
                }
            }
        }

        Device (HPET)
        {
            Name (_HID, EisaId ("PNP0103"))
            Name (_UID, Zero)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadOnly, 0xFED00000, 0x00000400)
            })
        }
    }

    Scope (\_SB)
    {
        // A link's current interrupt from its PIRQ route register; bit 7 set: not routed.
        Name (PRRB, ResourceTemplate ()
        {
            Interrupt (ResourceConsumer, Level, ActiveHigh, Shared, , , INTR) {0}
        })
        Method (IQCR, 1, Serialized)
        {
            CreateDWordField (PRRB, 0x05, PRRI)
            If (Arg0 < 0x80) { PRRI = Arg0 } Else { PRRI = Zero }
            Return (PRRB)
        }
        Method (IQST, 1, NotSerialized)
        {
            If (Arg0 & 0x80) { Return (0x09) }
            Return (0x0B)
        }

        Device (LNKA)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, Zero)
            Name (_PRS, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) {5, 10, 11}
            })
            Method (_STA, 0) { Return (IQST (^^PCI0.ISA.PRQA)) }
            Method (_DIS, 0) { ^^PCI0.ISA.PRQA |= 0x80 }
            Method (_CRS, 0) { Return (IQCR (^^PCI0.ISA.PRQA)) }
            Method (_SRS, 1)
            {
                CreateDWordField (Arg0, 0x05, PRRI)
                ^^PCI0.ISA.PRQA = PRRI
            }
        }
        Device (LNKB)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, One)
            Name (_PRS, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) {5, 10, 11}
            })
            Method (_STA, 0) { Return (IQST (^^PCI0.ISA.PRQB)) }
            Method (_DIS, 0) { ^^PCI0.ISA.PRQB |= 0x80 }
            Method (_CRS, 0) { Return (IQCR (^^PCI0.ISA.PRQB)) }
            Method (_SRS, 1)
            {
                CreateDWordField (Arg0, 0x05, PRRI)
                ^^PCI0.ISA.PRQB = PRRI
            }
        }
        Device (LNKC)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 0x02)
            Name (_PRS, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) {5, 10, 11}
            })
            Method (_STA, 0) { Return (IQST (^^PCI0.ISA.PRQC)) }
            Method (_DIS, 0) { ^^PCI0.ISA.PRQC |= 0x80 }
            Method (_CRS, 0) { Return (IQCR (^^PCI0.ISA.PRQC)) }
            Method (_SRS, 1)
            {
                CreateDWordField (Arg0, 0x05, PRRI)
                ^^PCI0.ISA.PRQC = PRRI
            }
        }
        Device (LNKD)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 0x03)
            Name (_PRS, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) {5, 10, 11}
            })
            Method (_STA, 0) { Return (IQST (^^PCI0.ISA.PRQD)) }
            Method (_DIS, 0) { ^^PCI0.ISA.PRQD |= 0x80 }
            Method (_CRS, 0) { Return (IQCR (^^PCI0.ISA.PRQD)) }
            Method (_SRS, 1)
            {
                CreateDWordField (Arg0, 0x05, PRRI)
                ^^PCI0.ISA.PRQD = PRRI
            }
        }
        Device (LNKS)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 0x04)
            Name (_PRS, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) {9}
            })
            Name (_CRS, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) {9}
            })
            Method (_STA, 0) { Return (0x0B) }
            Method (_DIS, 0) {}
            Method (_SRS, 1) {}
        }
    }

    Name (\_S5, Package (4) { Zero, Zero, Zero, Zero })
}
