// SPDX-License-Identifier: Apache-2.0
// The benchmark guest's kernel: from a Multiboot loader's 32-bit mode to ring 3, system calls, page
// faults of one area, and switches between two contexts with page tables of their own. It keeps to
// instructions that slow, partial KVMs execute too: no x87, no SSE, tables made by the assembler.
// Source: Multiboot Specification 0.6.96; Intel SDM vol. 3, 4.5 (paging), 5.8.8 (SYSCALL), 6.14
// (64-bit interrupts), 9.8.5 (entering IA-32e mode).
// Not modelled: interrupts (they stay off), floating-point state of contexts, swapgs.
        .set BASE, 0x1000000
        .set FAULT_AREA, 0x1200000      // 2 MiB whose page table starts empty
        .set STACK_B, 0x1500000
        .set STACK_A, 0x1600000
        .set MEMORY, 0x2000000
        .set FAULT_PAGES, 64
        .set PRESENT, 0x63              // and writable, accessed, dirty
        .set USER, 0x67
        .set LARGE, 0x80
        .set DEBUG_PORT, 0xe9
        .set EXIT_PORT, 0xf4

        .section .kernel, "awx"
        .code32
        .globl start
base:
start:  jmp start32
        .balign 4
        // Multiboot header: load and entry addresses are given here (bit 16).
header: .long 0x1badb002, 0x00010000, -(0x1badb002 + 0x00010000)
        .long header, base, 0, 0, start

start32:
        mov $0x620, %eax                // PAE, OSFXSR, OSXMMEXCPT
        mov %eax, %cr4
        mov $pml4_a, %eax
        mov %eax, %cr3
        mov $0xc0000080, %ecx           // EFER: LME, SCE
        mov $0x101, %eax
        xor %edx, %edx
        wrmsr
        mov $0x80000033, %eax           // PG, NE, ET, MP, PE
        mov %eax, %cr0
        lgdt gdt_pointer
        ljmp $0x10, $start64

        .code64
start64:
        mov $0x18, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %ss
        mov $kernel_stack, %esp
        lidt idt_pointer
        mov $0x38, %eax
        ltr %ax
        mov $0xc0000081, %ecx           // STAR: kernel 10h, ring 3 from 20h
        xor %eax, %eax
        mov $0x00230010, %edx
        wrmsr
        inc %ecx                        // LSTAR
        mov $system_call, %eax
        xor %edx, %edx
        wrmsr
        mov $0xc0000084, %ecx           // SFMASK: IF, DF
        mov $0x600, %eax
        wrmsr
        mov $environment, %edi
        push $0x2b
        push $STACK_A - 8               // as after a call
        push $2
        push $0x33
        push $user_main
        iretq

// --- system calls: number in eax, text and length in rsi and rdx; lost is what a
// C++ function may lose

        .balign 16
system_call:
        cmp $3, %eax
        je yield_from_system_call
        mov %rsp, user_stack
        mov $kernel_stack, %esp
        push %rcx
        push %r11
        call dispatch
        pop %r11
        pop %rcx
        mov user_stack, %rsp
        sysretq

        .balign 16
invalid_opcode:                         // ring 3 asks by UD2 where SYSCALL does not work
        testb $3, 8(%rsp)
        jz 1f
        addq $2, (%rsp)
        cmp $3, %eax
        je yield_from_ud2
        call dispatch
        iretq
1:      push $0
        push $6
        jmp fault

dispatch:
        test %eax, %eax
        jz 1f
        dec %eax
        jz put
        dec %eax
        jz forget
        jmp end
1:      ret

put:    mov %rdx, %rcx
        mov $DEBUG_PORT, %edx
        rep outsb
        ret

forget: mov $pt_fault, %edi
        mov $FAULT_PAGES, %ecx
        rep stosq                       // rax is 0
        mov %cr3, %rax
        mov %rax, %cr3
        ret

end:    xor %eax, %eax
        out %eax, $EXIT_PORT
1:      hlt
        jmp 1b

// A context: rsp, rip, rflags, rbx, rbp, r12 to r15, cr3, the other context.
        .macro save_registers context
        mov %rbx, 24(\context)
        mov %rbp, 32(\context)
        mov %r12, 40(\context)
        mov %r13, 48(\context)
        mov %r14, 56(\context)
        mov %r15, 64(\context)
        .endm
        .macro load_registers context
        mov 24(\context), %rbx
        mov 32(\context), %rbp
        mov 40(\context), %r12
        mov 48(\context), %r13
        mov 56(\context), %r14
        mov 64(\context), %r15
        .endm
        // The other context to rax, its page tables to cr3; the current one is in rdx.
        .macro next_context
        mov 80(%rdx), %rax
        mov %rax, current
        .endm

yield_from_system_call:
        mov current, %rdx
        mov %rsp, (%rdx)
        mov %rcx, 8(%rdx)
        mov %r11, 16(%rdx)
        save_registers %rdx
        next_context
        load_registers %rax
        mov 72(%rax), %rdx
        mov %rdx, %cr3
        mov (%rax), %rsp
        mov 8(%rax), %rcx
        mov 16(%rax), %r11
        sysretq

yield_from_ud2:
        mov current, %rdx
        mov (%rsp), %rcx
        mov %rcx, 8(%rdx)
        mov 16(%rsp), %rcx
        mov %rcx, 16(%rdx)
        mov 24(%rsp), %rcx
        mov %rcx, (%rdx)
        save_registers %rdx
        next_context
        load_registers %rax
        mov 72(%rax), %rdx
        mov %rdx, %cr3
        mov 8(%rax), %rcx
        mov %rcx, (%rsp)
        mov 16(%rax), %rcx
        mov %rcx, 16(%rsp)
        mov (%rax), %rcx
        mov %rcx, 24(%rsp)
        iretq

// --- exceptions

        .balign 16
page_fault:
        push %rax
        push %rcx
        mov %cr2, %rax
        mov %rax, %rcx
        sub $FAULT_AREA, %rcx
        cmp $0x200000, %rcx
        jae 1f
        shr $12, %ecx
        and $-4096, %eax
        or $USER, %eax
        mov %rax, pt_fault(, %rcx, 8)
        pop %rcx
        pop %rax
        add $8, %rsp
        iretq
1:      cmp $system_call, %rax          // SYSCALL left the processor in ring 3
        je 2f
        pop %rcx
        pop %rax
        push $14
        jmp fault
2:      movl $1, call_mode
        pop %rcx
        pop %rax
        add $8, %rsp
        mov %rcx, (%rsp)                // go on after the SYSCALL
        iretq

fault:  cld                             // vector, error code, rip, ...
        mov $fault_text, %esi
        mov $DEBUG_PORT, %edx
        mov $5, %ecx
        rep outsb
        mov (%rsp), %rbx
        call put_hex
        mov 8(%rsp), %rbx
        call put_hex
        mov 16(%rsp), %rbx
        call put_hex
        mov %cr2, %rbx
        call put_hex
        mov $10, %eax
        out %al, %dx
        jmp end

put_hex:                                // rbx
        mov $32, %eax
        out %al, %dx
        mov $16, %ecx
1:      rol $4, %rbx
        mov %ebx, %eax
        and $15, %eax
        mov digits(%rax), %al
        out %al, %dx
        dec %ecx
        jnz 1b
        ret

        .set vector, 0
        .balign 16
stubs:  .rept 32
        .balign 16
        .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21)
        .else
        push $0
        .endif
        push $vector
        jmp fault
        .set vector, vector + 1
        .endr
fault_text: .ascii "fault"
digits: .ascii "0123456789abcdef"

// --- tables

        .macro gate offset, attributes
        .word \offset, 0x10, \attributes, BASE >> 16
        .long 0, 0
        .endm
        .balign 16
idt:    .set vector, 0
        .rept 32
        .if vector == 14
        gate "page_fault - base", 0x8e00
        .elseif vector == 6
        gate "invalid_opcode - base", 0x8e00
        .else
        gate "stubs - base + 16 * vector", 0x8e00
        .endif
        .set vector, vector + 1
        .endr
idt_end:
gdt:    .quad 0, 0
        .quad 0x00af9b000000ffff, 0x00cf93000000ffff    // 10h, 18h: kernel
        .quad 0x00cffb000000ffff, 0x00cff3000000ffff    // 20h (32-bit), 28h: ring 3 data
        .quad 0x00affb000000ffff                        // 30h: ring 3 code
        .word 0x67, tss - base                          // 38h: TSS
        .byte 0, 0x89, 0, BASE >> 24
        .quad 0
gdt_end:
gdt_pointer:
        .word gdt_end - gdt - 1
        .quad gdt
idt_pointer:
        .word idt_end - idt - 1
        .quad idt
        .balign 8
tss:    .long 0
        .quad kernel_stack
        .fill 0x68 - 12, 1, 0

        .balign 8
user_stack: .quad 0
current: .quad context_a
context_a: .fill 9, 8, 0
        .quad pml4_a, context_b
context_b: .quad STACK_B - 8, other_context, 2
        .fill 6, 8, 0
        .quad pml4_b, context_a

        .balign 4096
pml4_a: .quad pdpt + USER
        .fill 511, 8, 0
pml4_b: .quad pdpt + USER
        .fill 511, 8, 0
pdpt:   .quad pd + USER
        .fill 511, 8, 0
pd:     .set i, 0                       // 256 MiB as they are; ring 3 may use those from 20 MiB on
        .rept 512
        .if i == 8
        .quad pt_image + USER
        .elseif i == 9
        .quad pt_fault + USER
        .elseif i < 10
        .quad (i << 21) + PRESENT + LARGE
        .elseif i < 128
        .quad (i << 21) + USER + LARGE
        .else
        .quad 0
        .endif
        .set i, i + 1
        .endr
pt_image: .set i, 0
        .rept 512
        .if i < 16
        .quad BASE + (i << 12) + PRESENT
        .else
        .quad BASE + (i << 12) + USER
        .endif
        .set i, i + 1
        .endr
pt_fault: .fill 512, 8, 0
        .fill 2048, 1, 0
kernel_stack:

// --- ring 3

        .section .user_head, "awx"
        .code64
user_main: jmp bench_main
        .balign 16
        jmp bench_run
        .balign 16
environment:                            // of the two last, the host fills in the values
        .quad user_put, user_call, user_forget, user_yield, user_end
        .quad MEMORY, FAULT_AREA, 0, 0
call_mode: .long 0, 0

        .macro system_call_stub name, number
\name:  mov $\number, %eax
        cmpl $0, call_mode(%rip)
        jne 1f
        syscall
        ret
1:      ud2
        ret
        .endm
        system_call_stub user_call, 0
        system_call_stub user_put, 1
        system_call_stub user_forget, 2
        system_call_stub user_yield, 3
        system_call_stub user_end, 4
other_context:
        call user_yield
        jmp other_context

        .globl bench_call_mode
bench_call_mode:
        mov call_mode(%rip), %eax
        ret
        .section .note.GNU-stack, "", @progbits
