# SPDX-License-Identifier: Apache-2.0
# Loads the rest of the guest behind the boot sector and calls run().
  .code16
  .section .boot, "ax"
  .globl start
start:
  cli
  xorw %ax, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %ss
  movl $0x7c00, %esp
  ljmp $0, $1f
1:
  movw $packet, %si
  movb $0x42, %ah
  int $0x13
  jc .
  cld
  calll run
  hlt
packet:  # 80 sectors behind this one
  .byte 16, 0
  .word 80
  .word 0x7e00, 0
  .quad 1
  .org 510
  .word 0xaa55

# void video_bios(u32 ax): INT 10h, nothing else passed
  .text
  .globl video_bios
video_bios:
  pushal
  movl 36(%esp), %eax
  sti
  int $0x10
  cli
  popal
  retl

# void open_memory(void): FS reaches all 4 GiB from address 0, until it is loaded again
  .globl open_memory
open_memory:
  pushl %eax
  lgdtw gdt_pointer
  movl %cr0, %eax
  orb $1, %al
  movl %eax, %cr0
  jmp 1f
1:
  movw $8, %ax
  movw %ax, %fs
  movl %cr0, %eax
  andb $0xfe, %al
  movl %eax, %cr0
  jmp 2f
2:
  popl %eax
  retl
  .balign 8
gdt:
  .quad 0
  .quad 0x00cf92000000ffff
gdt_pointer:
  .word 15
  .long gdt
