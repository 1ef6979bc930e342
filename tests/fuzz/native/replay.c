/*
 * SPDX-FileCopyrightText: FlowShield contributors
 * SPDX-License-Identifier: Apache-2.0
 */

/* Runs a fuzz target over the named files, without libFuzzer. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int count, char **names)
{
    enum { LARGEST = 1 << 17 };
    uint8_t *bytes = malloc(LARGEST);
    if (bytes == NULL)
        return 1;
    for (int i = 1; i < count; i++) {
        FILE *file = fopen(names[i], "rb");
        if (file == NULL) {
            perror(names[i]);
            return 1;
        }
        size_t size = fread(bytes, 1, LARGEST, file);
        fclose(file);
        LLVMFuzzerTestOneInput(bytes, size);
    }
    printf("%d inputs\n", count - 1);
    free(bytes);
    return 0;
}
